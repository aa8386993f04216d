package proxied

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	ramen "ramen/clients/go"
)

// listener is a device behind a proxy, over one transport.
type listener struct {
	transport ramen.Transport
	device    *ramen.Device

	mu  sync.Mutex
	ids []string // guarded by mu
}

// listen starts one. Its window is so small that each push is acked at once: SSE would wait for others otherwise.
func listen(t testing.TB, p *proxy, transport ramen.Transport) *listener {
	t.Helper()
	l := &listener{transport: transport}
	d, err := ramen.New(ramen.DeviceConfig{
		URL: "https://" + p.addr, GRPC: p.addr, TLS: trust(), Transports: []ramen.Transport{transport},
		Device: string(transport), Window: 2, Heartbeat: time.Second, Wait: 5 * time.Second, Cursors: new(ramen.MemoryCursor),
		Token: func(context.Context) (string, error) { return token(t, "alice", time.Hour), nil },
		Handler: func(_ context.Context, m *ramen.Message) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.ids = append(l.ids, string(m.ID))
			return nil
		},
	})
	if err == nil {
		err = d.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	l.device = d
	return l
}

func (l *listener) got() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.ids)
}

// wants waits for the messages up to to: each once, in order.
func (l *listener) wants(t testing.TB, to int) {
	t.Helper()
	until(t, string(l.transport)+" has all messages", func() bool { return len(l.got()) >= to })
	for i, id := range l.got() {
		if id != name(i+1) {
			t.Fatalf("%s: message %d is %s", l.transport, i+1, id)
		}
	}
}

// Behind each proxy, with the file that deploy/ has for it, each transport carries heartbeats and pushes as they come, takes acks,
// and goes on after a kill of the server, a restart in order and one of the proxy. Nothing that the proxy logs has a token.
func TestFix12EachTransportWorksBehindEachProxy(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			needs(t, k.name)
			testTransports(t, k)
		})
	}
}

func testTransports(t *testing.T, k kind) {
	s := serve(t, "")
	p := behind(t, k, s)
	var all listeners
	for _, transport := range []ramen.Transport{ramen.SSE, ramen.WSProto, ramen.WSJSON, ramen.GRPC, ramen.Poll} {
		all = append(all, listen(t, p, transport))
	}
	for _, l := range all {
		until(t, string(l.transport)+" is online", func() bool { return l.device.Stats().Streams > 0 })
	}
	published := 0
	more := func(what string) {
		t.Helper()
		began := time.Now()
		s.publish(published+1, published+20)
		published += 20
		for _, l := range all {
			l.wants(t, published)
		}
		s.untilEmpty()
		t.Logf("%s: all have %d messages, and have acked them, after %.1f s", what, published, time.Since(began).Seconds())
	}
	more("at the start")
	heartbeatsOfSSE(t, p)
	all.heartbeats(t)

	asPage := "token=" + token(t, "bob", time.Hour)
	s.Kill()
	askWith(t, p, asPage) // it is answered by the proxy, and may be logged as an error
	s.start()
	more("after a kill")
	s.Stop(t)
	s.start()
	more("after a restart")
	before := all.streams()
	p.renew()
	more("after a reload of the proxy")
	if n := all.streams(); n != before && !k.cuts {
		t.Errorf("a reload has cut %d streams", n-before)
	}
	p.restart()
	more("after a restart of the proxy")
	for range 10 {
		askWith(t, p, asPage+"&device=asking")
	}
	p.keepsNoToken()
}

// listeners are a device over each transport.
type listeners []*listener

// streams is how many they have had in all.
func (all listeners) streams() (n uint64) {
	for _, l := range all {
		n += l.device.Stats().Streams
	}
	return n
}

// heartbeats waits for two on each transport on which they are frames.
func (all listeners) heartbeats(t testing.TB) {
	t.Helper()
	for _, l := range all {
		if l.transport != ramen.Poll && l.transport != ramen.SSE {
			before := l.device.Stats().Heartbeats
			until(t, string(l.transport)+" has heartbeats", func() bool { return l.device.Stats().Heartbeats >= before+2 })
		}
	}
}

// heartbeatsOfSSE reads two heartbeats behind hello: a proxy that collects bytes would hold them back.
func heartbeatsOfSSE(t testing.TB, p *proxy) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust(), DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("https://" + p.addr + "/ramen/receive?heartbeat_ms=1000&device=beats&token=" + token(t, "bob", time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines, beats := bufio.NewReader(resp.Body), 0
	for last := "\n"; beats < 2; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: a stream ended after %d heartbeats: %v", p.name, beats, err)
		}
		if line == "\n" && last == "\n" {
			beats++
		}
		last = line
	}
}

// askWith polls as a page does, with its token in the URL.
func askWith(t testing.TB, p *proxy, query string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trust(), DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get("https://" + p.addr + "/ramen/poll?wait=0&" + query)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
}
