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

func listen(t testing.TB, p *proxy, transport ramen.Transport) *listener {
	t.Helper()
	l := &listener{transport: transport}
	d, err := ramen.New(ramen.DeviceConfig{
		URL: "https://" + p.addr, GRPC: p.addr, TLS: trust(), Transports: []ramen.Transport{transport},
		Device: string(transport), Window: 20, Heartbeat: time.Second, Wait: 5 * time.Second, Cursors: new(ramen.MemoryCursor),
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
			s := serve(t, "")
			p := behind(t, k, s)
			var all []*listener
			for _, transport := range []ramen.Transport{ramen.SSE, ramen.WSProto, ramen.WSJSON, ramen.GRPC, ramen.Poll} {
				all = append(all, listen(t, p, transport))
			}
			for _, l := range all {
				until(t, string(l.transport)+" is online", func() bool { return l.device.Stats().Streams > 0 })
			}
			to := 0
			more := func() {
				s.publish(to+1, to+20)
				to += 20
				began := time.Now()
				for _, l := range all {
					l.wants(t, to)
					t.Logf("%s: message %d after %v", l.transport, to, time.Since(began).Round(time.Millisecond))
				}
				s.untilEmpty()
				t.Logf("the mailbox is empty after %v", time.Since(began).Round(time.Millisecond))
			}
			more()
			heartbeatsOfSSE(t, p)
			for _, l := range all {
				if l.transport != ramen.Poll && l.transport != ramen.SSE {
					before := l.device.Stats().Heartbeats
					until(t, string(l.transport)+" has heartbeats", func() bool { return l.device.Stats().Heartbeats >= before+2 })
				}
			}
			s.kill()
			askWith(t, p, "token="+token(t, "bob", time.Hour)) // it is answered by the proxy, and may be logged as an error
			s.start()
			more()
			s.stop(t)
			s.start()
			more()
			streams := func() (n uint64) {
				for _, l := range all {
					n += l.device.Stats().Streams
				}
				return n
			}
			before := streams()
			p.renew()
			more()
			if n := streams(); n != before && !k.cuts {
				t.Errorf("a reload has cut %d streams", n-before)
			}
			p.restart()
			more()
			for range 10 {
				askWith(t, p, "token="+token(t, "bob", time.Hour)+"&device=asking")
			}
			p.keepsNoToken()
		})
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
