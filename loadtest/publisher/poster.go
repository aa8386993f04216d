package publisher

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ramen/loadtest/expect"
	"ramen/protocol"
)

// poster publishes over HTTP, one request at a time, so that the order is known. SPEC 8.2.1
type poster struct {
	cfg    *Config
	url    string
	client *http.Client
	body   []byte
}

const postTimeout = 10 * time.Second // twice the server's own deadline

func newPoster(cfg *Config, url string) (*poster, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = cfg.TLS
	return &poster{cfg: cfg, url: strings.TrimSuffix(url, "/") + "/v1/publish", client: &http.Client{Transport: transport, Timeout: postTimeout}}, nil
}

func (p *poster) send(ctx context.Context, b *batch, answered func(*batch, []result)) error {
	results, err := p.post(ctx, b)
	if err != nil || len(results) != len(b.names) {
		answered(b, unanswered(b))
		return Pause(ctx, reopenPause)
	}
	answered(b, results)
	return nil
}

func (p *poster) post(ctx context.Context, b *batch) ([]result, error) {
	list := make([]protocol.Publish, len(b.names))
	text := p.cfg.filling
	for i, m := range b.names {
		list[i] = protocol.Publish{
			User: expect.UserName(p.cfg.Expected.Run, m.User), ID: string(expect.AppendID(nil, p.cfg.Expected.Run, m)), Type: "load",
			Priority: protocol.LanePriority(int(m.Lane)), Payload: appendPayload(nil, b.due[i], text), TTLMS: p.cfg.TTL.Milliseconds(),
		}
	}
	p.body = protocol.AppendPublishBatchJSON(p.body[:0], list)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(p.body))
	if err != nil {
		return nil, err
	}
	if p.cfg.Key != "" {
		req.Header.Set("Authorization", "Bearer "+p.cfg.Key)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxRequest))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("publisher: publish: %s: %.200s", resp.Status, answer)
	}
	parsed, err := protocol.DecodePublishResults(answer)
	if err != nil {
		return nil, err
	}
	results := make([]result, len(parsed))
	for i := range parsed {
		if parsed[i].Err != nil {
			results[i].code = string(parsed[i].Err.Code)
		}
	}
	return results, nil
}

func (p *poster) flush(context.Context) error { return nil }
func (p *poster) close()                      { p.client.CloseIdleConnections() }
