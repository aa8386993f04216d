package scenario

import (
	"fmt"
	"slices"
	"strings"

	"ramen/loadtest/devices"
	"ramen/loadtest/machine"
	"ramen/loadtest/report"
)

// onBaseline are the scenarios that the baseline server can play: it writes the same bytes, and keeps nothing.
var onBaseline = []string{"idle", "connect", "push", "max", "storm"}

// HasBaseline reports whether p can be played against the baseline server.
func (p *Params) HasBaseline() bool {
	f := *p
	f.Baseline = true
	return f.Complete() == nil
}

func (p *Params) validateServer() error {
	mix, err := devices.ParseMix(p.Transport)
	if err != nil {
		return fmt.Errorf("scenario: check %s: %w", p.Scenario, err)
	}
	onlyWS, light := true, true
	for _, m := range mix {
		ws := strings.HasPrefix(string(m.Transport), "ws")
		onlyWS, light = onlyWS && ws, light && (ws || m.Transport == "sse")
	}
	switch {
	case p.Deflate && (!onlyWS || p.TLS || p.Baseline):
		return fmt.Errorf("scenario: check %s: deflate works only on WebSocket streams without TLS: use transport ws or ws-json", p.Scenario)
	case p.Baseline && !slices.Contains(onBaseline, p.Scenario):
		return fmt.Errorf("scenario: check %s: the baseline server cannot play it, so that it has no baseline: use %s", p.Scenario, strings.Join(onBaseline, ", "))
	case p.Baseline && (!light || p.TLS || p.Devices != 1):
		return fmt.Errorf("scenario: check %s: the baseline server has only SSE and WebSocket without TLS, and one device a user", p.Scenario)
	}
	return nil
}

// server is how a server of our own is started for p.
func (p *Params) server(cfg machine.ServerConfig) machine.ServerConfig {
	cfg.Auth, cfg.TLS, cfg.Baseline = cfg.Auth || p.Auth, cfg.TLS || p.TLS, p.Baseline
	cfg.Args = append(slices.Clone(cfg.Args), p.Server...)
	if p.Deflate {
		cfg.Args = append(cfg.Args, "--frontend.ws.deflate")
	}
	return cfg
}

// plain reports whether p is as the budget has it.
func (b *bench) plain() bool {
	return !b.p.TLS && !b.p.Deflate && !b.p.Baseline && b.onStore() == "" && (b.p.Payload == 256 || b.p.Payload == 0)
}

// called names a figure for the table of a run: what it is, over which transport, and with what beside it.
func (b *bench) called(r *report.Row, format string, args ...any) {
	r.Measure = fmt.Sprintf(format, args...) + b.variant()
}

// variant is what a row's name says of the parameters.
func (b *bench) variant() string {
	p := b.p
	names := map[string]string{"sse": "SSE", "ws": "WebSocket", "ws-proto": "WebSocket", "ws-json": "WebSocket with JSON", "grpc": "gRPC", "poll": "long-poll"}
	text := names[p.Transport]
	if text == "" {
		text = p.Transport
	}
	text = ", " + text
	if p.TLS {
		text += ", TLS"
	}
	if p.Deflate {
		text += ", permessage-deflate"
	}
	if p.Payload != 256 {
		text += ", payload " + bytesOf(p.Payload)
	}
	return text + b.onStore()
}

// inSlowTable names the rows of slow that have a budget.
func (b *bench) inSlowTable() {
	for i := range b.out.Rows {
		if r := &b.out.Rows[i]; r.Budget != 0 {
			r.Measure = fmt.Sprintf("slow link, %v: %s, %s", b.p.Link, r.Name, b.p.Transport)
		}
	}
}

func bytesOf(n int) string {
	if n >= 1024 && n%1024 == 0 {
		return fmt.Sprintf("%d KiB", n/1024)
	}
	return fmt.Sprintf("%d B", n)
}
