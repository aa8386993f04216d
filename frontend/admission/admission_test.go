package admission

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"ramen/frontend/sock"
	"ramen/protocol"
)

func TestSourcesAreCountedApart(t *testing.T) {
	cfg := Limits{}
	cfg.MaxStreamsPerSource = 2
	l := New(cfg)
	a, _ := l.Admit("192.0.2.1:1000")
	l.Admit("192.0.2.1:1001")
	if _, refused := l.Admit("192.0.2.1:1002"); refused == nil || refused.Err.Code != protocol.CodeResourceExhausted {
		t.Fatalf("a third stream: %+v", refused)
	}
	if _, refused := l.Admit("192.0.2.2:1000"); refused != nil {
		t.Fatalf("another source: %+v", refused)
	}
	a.Close()
	if _, refused := l.Admit("192.0.2.1:1003"); refused != nil {
		t.Fatalf("after one has left: %+v", refused)
	}
	l.Admit("[2001:db8::1]:1")
	l.Admit("[2001:db8::2]:1")
	if _, refused := l.Admit("[2001:db8::3]:1"); refused == nil {
		t.Fatal("a /64 is one source")
	}
}

func TestOpensComeBackWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Limits{}
		cfg.OpensPerSecond = 10
		l := New(cfg)
		taken := 0
		for range 500 { // 5 s
			if _, refused := l.Admit(""); refused == nil {
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
	cfg := Limits{}
	cfg.OpensPerSecondPerSource = 10
	l := New(cfg)
	for i := range 2 * maxSources {
		l.Call(address(i))
	}
	if len(l.sources) > maxSources {
		t.Fatalf("%d sources", len(l.sources))
	}
}

func address(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }

// A server with more devices than the table has room for idle sources counts each device's address by itself.
func TestEverySourceWithAStreamHasItsOwnCount(t *testing.T) {
	cfg := Limits{}
	cfg.MaxStreamsPerSource, cfg.MaxStreams = 1, 2*maxSources
	l := New(cfg)
	var all []*Permit
	for i := range maxSources + 1000 {
		from, refused := l.Admit(address(i))
		if refused != nil {
			t.Fatalf("source %d: %v", i, refused.Err)
		}
		all = append(all, &from)
	}
	if _, refused := l.Admit(address(maxSources + 7)); refused == nil {
		t.Fatal("a second stream of one source")
	}
	for _, from := range all {
		from.Close()
	}
	if l.busy != 0 {
		t.Fatalf("%d sources are busy without a stream", l.busy)
	}
	l.Admit("192.0.2.1:1")
	if len(l.sources) > maxSources {
		t.Fatalf("%d sources are remembered", len(l.sources))
	}
}

// Without max_streams there are as many streams as open files allow, whatever their transport: gRPC has many to a file.
func TestFix16DefaultOfMaxStreamsBoundsEveryTransport(t *testing.T) {
	cfg := Limits{}
	l := New(cfg)
	for i := range sock.MaxConnections() {
		if _, refused := l.Admit("10.0.0.1:1"); refused != nil {
			t.Fatalf("stream %d: %v", i, refused.Err)
		}
	}
	if _, refused := l.Admit("10.0.0.1:1"); refused == nil || refused.Reason != protocol.ReasonUnavailable {
		t.Errorf("one more: %+v", refused)
	}
}

// A permit counts its stream out once, however often and by however many it is closed.
func TestPermitIsClosedOnce(t *testing.T) {
	l := New(Limits{MaxStreamsPerSource: 5})
	p, _ := l.Admit("192.0.2.1:1")
	other, _ := l.Admit("192.0.2.1:2")
	moved := p.Move()
	p.Close()
	if n := l.Len(); n != 2 {
		t.Fatalf("%d streams are counted: a permit that was handed over was closed by who gave it", n)
	}
	moved.Close()
	moved.Close()
	if n := l.Len(); n != 1 || l.busy != 1 {
		t.Fatalf("%d streams and %d busy sources are counted, not 1 and 1", n, l.busy)
	}
	l.Drain()
	other.Close()
	select {
	case <-l.Empty():
	default:
		t.Fatal("a draining server without a stream is not empty")
	}
}
