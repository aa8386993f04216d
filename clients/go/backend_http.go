package ramen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// maxAnswer bounds the body of an answer, in bytes: a full mailbox of 64 MiB without payloads over 16 KiB, in base64.
const maxAnswer = 96 << 20

// httpBackend speaks SPEC 8.2.
type httpBackend struct {
	base   *url.URL
	key    string
	client *http.Client
}

func newHTTPBackend(cfg *PublisherConfig) (*httpBackend, error) {
	base, err := wire.CheckURL(strings.TrimSuffix(cfg.URL, "/"))
	if err != nil {
		return nil, fmt.Errorf("ramen: publisher config: %w", err)
	}
	return &httpBackend{base: base, key: cfg.Key, client: &http.Client{Transport: &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		TLSClientConfig:     cfg.TLS,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: cfg.InFlight,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}}}, nil
}

func (b *httpBackend) encode(u *unit) {
	u.json = make([]byte, 0, u.size)
	for i := range u.messages {
		if i > 0 {
			u.json = append(u.json, ',')
		}
		u.json = protocol.AppendPublishJSON(u.json, &u.messages[i])
	}
}

func (b *httpBackend) exchange(ctx context.Context, units []*unit) ([]protocol.PublishResult, error) {
	size := 0
	for _, u := range units {
		size += len(u.json) + 1
	}
	body := append(make([]byte, 0, size+16), `{"messages":[`...)
	for i, u := range units {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, u.json...)
	}
	body = append(body, "]}"...)
	answer, err := b.do(ctx, http.MethodPost, "/v1/publish", body)
	if err != nil {
		return nil, err
	}
	return protocol.DecodePublishResults(answer)
}

// do makes a request. A refusal is an *Error; anything else is no answer.
func (b *httpBackend) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, b.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ramen: make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if b.key != "" {
		req.Header.Set("Authorization", "Bearer "+b.key)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ramen: %s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		return nil, refusal(resp)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("ramen: %s %s: read answer: %w", method, path, err)
	}
	if len(answer) > maxAnswer {
		return nil, fmt.Errorf("ramen: %s %s: answer is over %d bytes", method, path, maxAnswer)
	}
	return answer, nil
}

// refusal is the server's *Error. What came from something in between counts by its status: 4xx will not get better by
// itself, all else is as good as no answer.
func refusal(resp *http.Response) error {
	e := wire.ReadError(resp)
	var own *Error
	if errors.As(e, &own) {
		return own
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		return protocol.Errorf(protocol.CodeUnauthenticated, "http status %s", resp.Status)
	case s == http.StatusForbidden:
		return protocol.Errorf(protocol.CodePermissionDenied, "http status %s", resp.Status)
	case s == http.StatusTooManyRequests:
		return &Error{Code: protocol.CodeResourceExhausted, Message: "http status " + resp.Status, RetryAfter: e.RetryAfter}
	case s/100 == 4 && s != http.StatusRequestTimeout:
		return protocol.Errorf(protocol.CodeInvalidArgument, "http status %s; is the url the backends' port?", resp.Status)
	}
	return &Error{Code: protocol.CodeUnavailable, Message: "http status " + resp.Status, RetryAfter: e.RetryAfter}
}

// userPath is /v1/users/{user}/… Dots are escaped too, where they would be taken for a directory.
func userPath(user string, rest ...string) string {
	path := "/v1/users/" + segment(user)
	for _, r := range rest {
		path += "/" + segment(r)
	}
	return path
}

func segment(s string) string {
	if s == "." || s == ".." {
		return strings.ReplaceAll(s, ".", "%2E")
	}
	return url.PathEscape(s)
}

func (b *httpBackend) recall(ctx context.Context, user, id string) (bool, error) {
	_, err := b.do(ctx, http.MethodDelete, userPath(user, "messages", id), nil)
	var e *Error
	if errors.As(err, &e) && e.Code == protocol.CodeNotFound {
		return false, nil
	}
	return err == nil, err
}

func (b *httpBackend) disconnect(ctx context.Context, user, device, detail string) (int, error) {
	body, err := json.Marshal(struct {
		Device string `json:"device,omitempty"`
		Detail string `json:"detail,omitempty"`
	}{device, detail})
	if err != nil {
		return 0, fmt.Errorf("ramen: disconnect: %w", err)
	}
	var answer struct {
		Streams int `json:"streams"`
	}
	return answer.Streams, b.call(ctx, http.MethodPost, userPath(user, "disconnect"), body, &answer)
}

func (b *httpBackend) call(ctx context.Context, method, path string, body []byte, v any) error {
	answer, err := b.do(ctx, method, path, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("ramen: %s %s: decode answer: %w", method, path, err)
	}
	return nil
}

func (b *httpBackend) close() error {
	b.client.CloseIdleConnections()
	return nil
}
