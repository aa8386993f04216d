package process

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Ready reports whether the server takes publishes of high priority.
func (p *Process) Ready(ctx context.Context) bool {
	status, _, err := p.Ask(ctx, "/readyz")
	return err == nil && status == http.StatusOK
}

// Ask makes a request of the backends' port.
func (p *Process) Ask(ctx context.Context, path string) (status int, body string, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.at.Backends+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := p.probe.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Check has the server recount its gauges, which are exact once it has seen the ends of all streams.
func (p *Process) Check(ctx context.Context) {
	var said string
	for end := time.Now().Add(StartTime); ctx.Err() == nil && time.Now().Before(end); sleep(ctx, 50*time.Millisecond) {
		status, body, err := p.Ask(ctx, "/debug/check")
		if err == nil && status == http.StatusOK {
			return
		}
		said = fmt.Sprint(body, err)
	}
	p.faults = append(p.faults, "the gauges of "+p.cfg.Name+" do not add up: "+said)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
