package observe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"ramen/loadtest/ledger/judge"
	"ramen/protocol/ramenpb"
)

// over is what each kind of publisher publishes over.
var over = [4]string{"http", "grpc", "stream", "http, one"}

// calls are a publisher's connections to the backends' ports.
type calls struct {
	http   *http.Client
	conns  map[string]*grpc.ClientConn // by address
	faults []string                    // answers that no kill explains; owned by the publisher
}

// A PublishStream is ended by its publisher while nothing is under way on it, long before it would be cut off.
const (
	streamLife = 30 * time.Second
	mostStream = time.Minute
)

// callTime bounds a call; a server that is there answers within it.
const callTime = 20 * time.Second

func newCalls() *calls {
	return &calls{conns: make(map[string]*grpc.ClientConn), http: &http.Client{Timeout: callTime, Transport: &http.Transport{}}}
}

func (c *calls) close() {
	c.http.CloseIdleConnections()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// backend is the gRPC service at a server.
func (c *calls) backend(at Addresses) (ramenpb.BackendClient, error) {
	conn := c.conns[at.BackendsGRPC]
	if conn == nil {
		var err error
		conn, err = grpc.NewClient(at.BackendsGRPC, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second}))
		if err != nil {
			return nil, fmt.Errorf("observe: dial: %w", err)
		}
		c.conns[at.BackendsGRPC] = conn
	}
	return ramenpb.NewBackendClient(conn), nil
}

func (c *calls) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// status reads a result's status, or its error's code.
func (c *calls) status(word, code, text string) judge.Status {
	if word == "rejected" {
		word = code
	}
	switch word {
	case "accepted":
		return judge.Accepted
	case "duplicate":
		return judge.Duplicate
	case "unavailable":
		return judge.Unknown
	case "resource_exhausted":
		return judge.Refused
	}
	c.fault("a publish was answered %s %s", word, text)
	return judge.Refused
}

// jsonMessage is an item in HTTP's form.
func jsonMessage(it item) map[string]any {
	m := it[0]
	body, kind := payload(m.ID)
	v := map[string]any{"id": m.ID, "priority": m.Priority.String()}
	if len(it) == 1 {
		v["user"] = m.User
	} else {
		var users []string
		for _, o := range it {
			users = append(users, o.User)
		}
		v["users"] = users
	}
	if kind == "application/json" {
		v["payload"] = json.RawMessage(body)
	} else {
		v["payload_b64"], v["content_type"] = body, kind
	}
	if m.Target.Device != "" {
		v["device"] = m.Target.Device
	}
	if m.Target.Where != nil {
		v["where"] = m.Target.Where
	}
	if m.Key != "" {
		v["collapse_key"] = m.Key
	}
	if m.TTL != 0 {
		v["ttl_ms"] = m.TTL.Milliseconds()
	}
	return v
}

// post publishes a batch over HTTP.
func (c *calls) post(ctx context.Context, at Addresses, batch []item) []judge.Status {
	var messages []map[string]any
	for _, it := range batch {
		messages = append(messages, jsonMessage(it))
	}
	return c.postBody(ctx, at, map[string]any{"messages": messages})
}

// postOne publishes one message over HTTP.
func (c *calls) postOne(ctx context.Context, at Addresses, batch []item) []judge.Status {
	return c.postBody(ctx, at, jsonMessage(batch[0]))
}

func (c *calls) postBody(ctx context.Context, at Addresses, v any) []judge.Status {
	body, err := json.Marshal(v)
	if err != nil {
		c.fault("%v", err)
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at.Backends+"/v1/publish", bytes.NewReader(body))
	if err != nil {
		c.fault("%v", err)
		return nil
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil
	}
	var answer struct {
		Results []struct {
			Status string
			Error  struct{ Code, Message string }
		}
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		c.fault("a publish was answered %s: %.300s", resp.Status, text)
		return nil
	}
	if resp.StatusCode != http.StatusOK {
		return []judge.Status{c.status("rejected", answer.Error.Code, answer.Error.Message)}
	}
	var statuses []judge.Status
	for _, r := range answer.Results {
		statuses = append(statuses, c.status(r.Status, r.Error.Code, r.Error.Message))
	}
	return statuses
}

// request is a batch in gRPC's form.
func (c *calls) request(batch []item) *ramenpb.PublishRequest {
	r := &ramenpb.PublishRequest{}
	for _, it := range batch {
		m := it[0]
		body, kind := payload(m.ID)
		p := &ramenpb.Publish{
			Device: m.Target.Device, Where: m.Target.Where, Id: m.ID, Priority: ramenpb.Priority(m.Priority), Payload: body, ContentType: kind,
			TtlMs: uint32(m.TTL.Milliseconds()), CollapseKey: m.Key,
		}
		if len(it) == 1 {
			p.User = m.User
		} else {
			for _, o := range it {
				p.Users = append(p.Users, o.User)
			}
		}
		r.Messages = append(r.Messages, p)
	}
	return r
}

// publish publishes a batch over a unary call.
func (c *calls) publish(ctx context.Context, at Addresses, batch []item) []judge.Status {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	backend, err := c.backend(at)
	if err != nil {
		c.fault("publish: %v", err)
		return nil
	}
	answer, err := backend.Publish(ctx, c.request(batch))
	if err != nil {
		c.broken("publish", err)
		return nil
	}
	return c.results(answer)
}

func (c *calls) results(answer *ramenpb.PublishResponse) []judge.Status {
	words := map[ramenpb.PublishResult_Status]string{
		ramenpb.PublishResult_ACCEPTED: "accepted", ramenpb.PublishResult_DUPLICATE: "duplicate", ramenpb.PublishResult_REJECTED: "rejected",
	}
	var statuses []judge.Status
	for _, r := range answer.Results {
		statuses = append(statuses, c.status(words[r.Status], r.Error.GetCode(), r.Error.GetMessage()))
	}
	return statuses
}

// broken finds errors of calls that a killed server does not explain.
func (c *calls) broken(what string, err error) {
	switch status.Code(err) {
	case codes.Unavailable, codes.Canceled, codes.DeadlineExceeded:
	default:
		if !errors.Is(err, io.EOF) {
			c.fault("%s: %v", what, err)
		}
	}
}

type publishStream = grpc.BidiStreamingClient[ramenpb.PublishRequest, ramenpb.PublishResponse]

// stream opens a PublishStream; done ends it.
func (c *calls) stream(ctx context.Context, at Addresses) (s publishStream, done func(), err error) {
	backend, err := c.backend(at)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, mostStream)
	s, err = backend.PublishStream(ctx)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return s, cancel, nil
}

func (c *calls) receive(s publishStream) ([]judge.Status, error) {
	answer, err := s.Recv()
	if err != nil {
		c.broken("publish stream", err)
		return nil, err
	}
	return c.results(answer), nil
}

// recall recalls a message, and reports whether it was, where that is known.
func (c *calls) recall(ctx context.Context, at Addresses, m *judge.Message, overGRPC bool) (recalled, known bool) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if overGRPC {
		backend, err := c.backend(at)
		if err != nil {
			c.fault("recall: %v", err)
			return false, false
		}
		answer, err := backend.Recall(ctx, &ramenpb.RecallRequest{User: m.User, Id: m.ID})
		if err != nil {
			c.broken("recall", err)
			return false, false
		}
		return answer.Recalled, true
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, "http://"+at.Backends+"/v1/users/"+url.PathEscape(m.User)+"/messages/"+url.PathEscape(m.ID), nil)
	if err != nil {
		return false, false
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return false, false
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	switch resp.StatusCode {
	case http.StatusNoContent:
		return true, true
	case http.StatusNotFound:
		return false, true
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
	default:
		c.fault("a recall was answered %s", resp.Status)
	}
	return false, false
}
