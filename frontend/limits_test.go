package frontend

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ramen/frontend/sock"
	"ramen/protocol"
)

func TestSourcesAreCountedApart(t *testing.T) {
	cfg := Default()
	cfg.MaxStreamsPerSource = 2
	l := newLimits(&cfg, newClock())
	a, _ := l.enter("192.0.2.1:1000")
	l.enter("192.0.2.1:1001")
	if _, refused := l.enter("192.0.2.1:1002"); refused == nil || refused.err.Code != protocol.CodeResourceExhausted {
		t.Fatalf("a third stream: %+v", refused)
	}
	if _, refused := l.enter("192.0.2.2:1000"); refused != nil {
		t.Fatalf("another source: %+v", refused)
	}
	l.exit(a)
	if _, refused := l.enter("192.0.2.1:1003"); refused != nil {
		t.Fatalf("after one has left: %+v", refused)
	}
	l.enter("[2001:db8::1]:1")
	l.enter("[2001:db8::2]:1")
	if _, refused := l.enter("[2001:db8::3]:1"); refused == nil {
		t.Fatal("a /64 is one source")
	}
}

func TestOpensComeBackWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		cfg.OpensPerSecond = 10
		l := newLimits(&cfg, newClock())
		taken := 0
		for range 500 { // 5 s
			if _, refused := l.enter(""); refused == nil {
				taken++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if taken < 58 || taken > 61 { // a burst of 10, and 10 a second
			t.Fatalf("%d opens in 5 s at 10 a second", taken)
		}
	})
}

func TestTableOfIdleSourcesIsBounded(t *testing.T) {
	cfg := Default()
	cfg.OpensPerSecondPerSource = 10
	l := newLimits(&cfg, newClock())
	for i := range 2 * maxSources {
		l.call(address(i))
	}
	if len(l.sources) > maxSources {
		t.Fatalf("%d sources", len(l.sources))
	}
}

func address(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }

// A server with more devices than the table has room for idle sources counts each device's address by itself.
func TestEverySourceWithAStreamHasItsOwnCount(t *testing.T) {
	cfg := Default()
	cfg.MaxStreamsPerSource, cfg.MaxStreams = 1, 2*maxSources
	l := newLimits(&cfg, newClock())
	var all []*source
	for i := range maxSources + 1000 {
		from, refused := l.enter(address(i))
		if refused != nil {
			t.Fatalf("source %d: %v", i, refused.err)
		}
		all = append(all, from)
	}
	if _, refused := l.enter(address(maxSources + 7)); refused == nil {
		t.Fatal("a second stream of one source")
	}
	for _, from := range all {
		l.exit(from)
	}
	if l.busy != 0 {
		t.Fatalf("%d sources are busy without a stream", l.busy)
	}
	l.enter("192.0.2.1:1")
	if len(l.sources) > maxSources {
		t.Fatalf("%d sources are remembered", len(l.sources))
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Origins = []string{"app.example", "https://ok.example"}
	c.Heartbeat = time.Minute + 1
	c.Credit = 0
	c.MaxStreams = -1
	err := c.Validate()
	if err == nil || strings.Count(err.Error(), "frontend: check configuration") != 4 {
		t.Fatalf("%v", err)
	}
}

// Without max_streams there are as many streams as open files allow, whatever their transport: gRPC has many to a file.
func TestFix16DefaultOfMaxStreamsBoundsEveryTransport(t *testing.T) {
	cfg := Default()
	l := newLimits(&cfg, newClock())
	for i := range sock.MostConnections() {
		if _, refused := l.enter("10.0.0.1:1"); refused != nil {
			t.Fatalf("stream %d: %v", i, refused.err)
		}
	}
	if _, refused := l.enter("10.0.0.1:1"); refused == nil || refused.reason != protocol.ReasonUnavailable {
		t.Errorf("one more: %+v", refused)
	}
}
