package stream

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"ramen/frontend/admission"
	"ramen/link"
	"ramen/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tape is an FrameWriter that writes down when what was said.
type tape struct {
	clock  clock
	beats  []int64
	away   []protocol.GoAway
	ended  protocol.Reason
	at     int64 // when it ended
	kept   int   // answered to every write
	pushes int
}

func (o *tape) WritePushes(batch []protocol.Push, _ bool) WriteResult {
	o.pushes += len(batch)
	return WriteResult{100 * len(batch), o.kept}
}
func (o *tape) WriteHeartbeat(int64) WriteResult {
	o.beats = append(o.beats, o.clock.now())
	return WriteResult{1, o.kept}
}
func (o *tape) WriteGoAway(g *protocol.GoAway) WriteResult {
	o.away = append(o.away, *g)
	return WriteResult{50, o.kept}
}
func (o *tape) End(r protocol.Reason, _ string)   { o.ended, o.at = r, o.clock.now() }
func (o *tape) Abort(r protocol.Reason, _ string) { o.ended, o.at = r, o.clock.now() }

// locked looks at what the FrameWriter of x has written down.
func (x *Stream) locked(f func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	f()
}

// pass lets time go by, and what is due be done.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// idleLink is a gateway's end that does nothing.
type idleLink struct{}

func (idleLink) Credit(int)                      {}
func (idleLink) Ack(protocol.Seq, string)        {}
func (idleLink) Refresh(*protocol.DeviceContext) {}
func (idleLink) Measured(uint32)                 {}
func (idleLink) Close(protocol.Reason)           {}

// fixture is a Set without connections, for synctest: its timers go until stop.
type fixture struct {
	*Set
	admission *admission.Control
	registry  *prometheus.Registry
	opened    int  // streams
	noPoller  bool // of all: they are on one wheel
}

func newFixture(tb testing.TB, change func(c *Config)) (s *fixture, stop func()) {
	tb.Helper()
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	r := prometheus.NewRegistry()
	set, err := NewSet(cfg, Deps{Opener: &slowOwner{}, Logger: slog.New(slog.DiscardHandler), Metrics: r, Pollers: 2})
	if err != nil {
		tb.Fatal(err)
	}
	return &fixture{Set: set, admission: admission.New(admission.Limits{}), registry: r}, set.Close
}

// open opens a stream on a tape.
func (s *fixture) open(t protocol.Transport, heartbeatMS int32, expires time.Time) (*Stream, *tape) {
	o := &tape{clock: s.clock}
	return s.openOn(t, &Request{User: "u", Device: "d", HeartbeatMS: heartbeatMS, Expires: expires}, o, idleLink{}), o
}

// openOn opens a stream; each third is without a poller.
func (s *fixture) openOn(t protocol.Transport, r *Request, out FrameWriter, lk link.Stream) *Stream {
	x := &Stream{}
	permit, _ := s.admission.Admit("")
	x.Init(s.Set, r, t, out)
	x.Start(Opened{lk, link.Opened{Name: "s", Number: protocol.StreamNumber{Epoch: 1, Counter: 1}}}, permit, func(*protocol.Hello) (WriteResult, error) {
		if s.opened++; s.opened%3 != 0 && !s.noPoller {
			x.UsePoller(s.opened%3 - 1)
		}
		return WriteResult{10, 0}, nil
	})
	return x
}

// drain asks all streams to leave and waits until they have.
func (s *fixture) drain(ctx context.Context) bool {
	s.admission.Drain()
	return s.Drain(ctx, s.admission.Empty())
}
