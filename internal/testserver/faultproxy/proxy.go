package faultproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"ramen/internal/ports"
	"ramen/internal/testserver"
)

// Direction is which bytes a fault is for.
type Direction string

const (
	Requests Direction = "upstream"   // from the client to the server
	Answers  Direction = "downstream" // from the server to the client
)

// Proxy hands on connections to a server, and all bytes at once as long as it was told nothing else. Its methods can be called at any
// time, and hold for the connections that there are and for those to come, until Heal.
type Proxy struct {
	Addr string // where clients connect to

	p *toxiproxy.Proxy
}

// Leaks excuses the goroutines that toxiproxy 2.12 leaves behind a connection whose receiver ends first: nobody reads any more what its
// reader and its toxics hand on.
func Leaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
	}
}

// New starts a proxy before the server at upstream, at a port of its own.
func New(t testserver.TB, upstream string) *Proxy {
	t.Helper()
	return NewAt(t, ports.Free(testserver.PortsTB(t)), upstream)
}

// NewAt is New at an address that the caller has reserved.
func NewAt(t testserver.TB, addr, upstream string) *Proxy {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p := &Proxy{Addr: addr, p: toxiproxy.NewProxy(server, addr, addr, upstream)}
	if err := p.p.Start(); err != nil {
		t.Fatalf("faultproxy: listen at %s: %v", addr, err)
	}
	t.Cleanup(func() {
		p.p.Stop()
		p.p.Toxics.ResetToxics(context.Background()) // else what they hold back keeps goroutines
	})
	return p
}

// Cut closes all connections, and refuses new ones.
func (p *Proxy) Cut(testserver.TB) { p.p.Stop() }

// Disconnect closes all connections. New ones go on.
func (p *Proxy) Disconnect(t testserver.TB) {
	t.Helper()
	p.p.Stop()
	p.listen(t)
}

// DisconnectAfter closes each connection once so many bytes were handed on, counted from now, in the middle of a message if it be.
func (p *Proxy) DisconnectAfter(t testserver.TB, d Direction, bytes int) {
	t.Helper()
	p.add(t, "limit_data", d, map[string]any{"bytes": bytes})
}

// Delay holds all bytes back for so long.
func (p *Proxy) Delay(t testserver.TB, d Direction, by time.Duration) {
	t.Helper()
	p.add(t, "latency", d, map[string]any{"latency": by.Milliseconds()})
}

// Limit hands on so many KB a second.
func (p *Proxy) Limit(t testserver.TB, d Direction, kilobytes int) {
	t.Helper()
	p.add(t, "bandwidth", d, map[string]any{"rate": kilobytes})
}

// Swallow hands nothing on, and keeps the connections open. They are closed by Heal: what they have lost cannot come again.
func (p *Proxy) Swallow(t testserver.TB, d Direction) {
	t.Helper()
	p.add(t, "timeout", d, map[string]any{"timeout": 0})
}

// Heal ends all faults.
func (p *Proxy) Heal(t testserver.TB) {
	t.Helper()
	p.p.Toxics.ResetToxics(context.Background())
	p.listen(t)
}

// listen takes connections, if the proxy does not.
func (p *Proxy) listen(t testserver.TB) {
	t.Helper()
	if err := p.p.Start(); err != nil && err != toxiproxy.ErrProxyAlreadyStarted {
		t.Fatalf("faultproxy: listen at %s again: %v", p.Addr, err)
	}
}

// add begins a fault, in the place of one of its kind.
func (p *Proxy) add(t testserver.TB, kind string, d Direction, attributes map[string]any) {
	t.Helper()
	name := fmt.Sprintf("%s_%s", kind, d)
	if p.p.Toxics.GetToxic(name) != nil {
		if err := p.p.Toxics.RemoveToxic(context.Background(), name); err != nil {
			t.Fatalf("faultproxy: end a %s: %v", name, err)
		}
	}
	text, err := json.Marshal(map[string]any{"name": name, "type": kind, "stream": d, "attributes": attributes})
	if err == nil {
		_, err = p.p.Toxics.AddToxicJson(bytes.NewReader(text))
	}
	if err != nil {
		t.Fatalf("faultproxy: begin a %s: %v", name, err)
	}
}
