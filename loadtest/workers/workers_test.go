package workers

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ramen/loadtest/expect"
)

// patience bounds every order of these tests.
const patience = 10 * time.Second

func setup(s *faulty) Setup {
	return Setup{
		Target: Target{Devices: s.URL, Backends: s.URL}, Run: "rt", Users: [2]uint32{0, 10}, Devices: 1, Mix: "sse",
		Heartbeat: time.Second, Slack: 200 * time.Millisecond, Lanes: [3]int{1, 2, 0},
	}
}

// bench is a worker with a server that has faults.
type bench struct {
	t      *testing.T
	s      *faulty
	l      *Local
	list   []expect.Violation
	counts map[expect.Kind]int64
}

func newBench(t *testing.T, f faults) *bench {
	t.Parallel()
	s := newFaulty(t, f)
	return benchOf(t, s, setup(s))
}

func benchOf(t *testing.T, s *faulty, of Setup) *bench {
	t.Helper()
	l, err := NewLocal(of)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	b := &bench{t: t, s: s, l: l, counts: make(map[expect.Kind]int64)}
	if out := b.do(Order{Verb: Connect, For: patience}); out.Live != 10 {
		t.Fatalf("%d of 10 streams are there; ends: %v", out.Live, out.Devices.Ends)
	}
	return b
}

func (b *bench) do(o Order) *Outcome {
	b.t.Helper()
	out, err := b.l.Do(b.t.Context(), o)
	if err != nil {
		b.t.Fatalf("%s: %v", o.Verb, err)
	}
	b.list = append(b.list, out.Violations...)
	for k, n := range out.Counts {
		b.counts[k] += n
	}
	return out
}

// found says that violations of this kind, and of none beside it and those that follow from it, were found and named.
func (b *bench) found(want expect.Kind, besides ...expect.Kind) {
	b.t.Helper()
	for k, n := range b.counts {
		known := k == want
		for _, also := range besides {
			known = known || k == also
		}
		if !known {
			b.t.Errorf("%d violations of %s", n, k)
		}
	}
	if want != "" && b.counts[want] == 0 {
		b.t.Errorf("no violation of %s among %v", want, b.counts)
	}
	for _, v := range b.list {
		if !strings.HasPrefix(v.User, "rt-u") || v.Device != "d0" {
			b.t.Errorf("it names no user and device: %v", v)
		}
		if k := v.Kind; (k == expect.Lost || k == expect.Order || k == expect.Duplicate) && !strings.HasPrefix(v.ID, "rt-") {
			b.t.Errorf("it names no id: %v", v)
		}
	}
}

// exercise pushes, cuts in the middle, and finishes.
func (b *bench) exercise() {
	b.do(Order{Verb: Push, Rate: 2000, For: 200 * time.Millisecond, Wait: 200 * time.Millisecond})
	b.do(Order{Verb: Cut})
	b.do(Order{Verb: Each, Count: 5})
	b.do(Order{Verb: Connect, For: 500 * time.Millisecond})
	b.do(Order{Verb: Storm, Wait: 500 * time.Millisecond})
	b.do(Order{Verb: Verify, Wait: 200 * time.Millisecond})
}

func TestGoodServerPassesEveryCheck(t *testing.T) {
	b := newBench(t, faults{})
	b.exercise()
	b.found("")
}

// TestOneInTenThousandIsFound is how rare a fault may be: two of 25,000 messages have it, and both are named.
func TestOneInTenThousandIsFound(t *testing.T) {
	for want, f := range map[expect.Kind]faults{
		expect.Lost: {drop: 10000}, expect.Duplicate: {double: 10000}, expect.Order: {swap: 10000}, expect.Seq: {gap: 10000}, expect.Content: {corrupt: 10000},
	} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			s := newFaulty(t, f)
			of := setup(s)
			of.Lanes = [3]int{0, 1, 0} // a message and its successor are of one lane
			b := benchOf(t, s, of)
			b.do(Order{Verb: Each, Count: 2500})
			if want != expect.Lost && want != expect.Content {
				if out := b.do(Order{Verb: Verify, Wait: patience}); out.Missing > 0 {
					t.Errorf("%d are missing", out.Missing)
				}
			} else {
				for left := 0; left != 2; { // all but these two have come
					left = b.do(Order{Verb: Hold, For: 50 * time.Millisecond}).Missing
				}
				b.do(Order{Verb: Verify})
			}
			b.found(want, expect.Lost)
			if b.counts[want] != 2 {
				t.Errorf("%d found, not 2: %v", b.counts[want], b.list)
			}
		})
	}
}

// TestGoAwayIsFollowedBeforeTheOldStreamEnds moves streams over and over while messages flow. SPEC 2.12
func TestGoAwayIsFollowedBeforeTheOldStreamEnds(t *testing.T) {
	b := newBench(t, faults{moves: 100 * time.Millisecond})
	out := b.do(Order{Verb: Push, Rate: 1000, For: time.Second, Wait: patience})
	b.do(Order{Verb: Verify, Wait: patience})
	b.found("")
	if out.Devices.Moved == 0 || b.s.beside == 0 {
		t.Errorf("%d moved, %d of them beside the old stream", out.Devices.Moved, b.s.beside)
	}
	for why := range out.Devices.Ends {
		if why != "goaway drain" {
			t.Errorf("streams ended as %v", out.Devices.Ends)
		}
	}
}

// TestOpeningsGoToSeveralPlacesInTurn has two ports of one server: each return is resumed over the other one.
func TestOpeningsGoToSeveralPlacesInTurn(t *testing.T) {
	t.Parallel()
	s := newFaulty(t, faults{})
	var opens atomic.Int64
	mux := s.mux()
	second := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ramen/receive" {
			opens.Add(1)
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		second.CloseClientConnections()
		second.Close()
	})
	of := setup(s)
	of.Target.Devices += ", " + second.URL
	b := benchOf(t, s, of)
	for range 3 {
		b.do(Order{Verb: Each, Count: 3})
		b.do(Order{Verb: Verify, Wait: patience})
		b.do(Order{Verb: Cut})
		if out := b.do(Order{Verb: Connect, For: patience}); out.Live != 10 {
			t.Fatalf("%d of 10 are back: %v", out.Live, out.Devices.Ends)
		}
	}
	b.found("")
	if n := opens.Load(); n != 20 {
		t.Errorf("%d of 40 openings went to the second place, not 20", n)
	}
}

func TestLostMessageIsFound(t *testing.T) {
	b := newBench(t, faults{drop: 7})
	b.exercise()
	b.found(expect.Lost)
}

func TestDoubledMessageIsFound(t *testing.T) {
	b := newBench(t, faults{double: 7})
	b.exercise()
	b.found(expect.Duplicate)
}

func TestSwappedMessagesAreFound(t *testing.T) {
	b := newBench(t, faults{swap: 4})
	b.exercise()
	b.found(expect.Order, expect.Lost, expect.Duplicate) // cut between the two, one is lost, or comes again
}

func TestGapInSeqsIsFound(t *testing.T) {
	b := newBench(t, faults{gap: 7})
	b.exercise()
	b.found(expect.Seq)
}

func TestAnotherUsersMessageIsFound(t *testing.T) {
	b := newBench(t, faults{corrupt: 7})
	b.exercise()
	b.found(expect.Content, expect.Lost)
}

func TestIgnoredCursorIsFound(t *testing.T) {
	b := newBench(t, faults{amnesia: true})
	b.exercise()
	b.found(expect.Resume)
}

func TestMessageAgainBehindItsCursorIsFound(t *testing.T) {
	b := newBench(t, faults{eager: true})
	b.exercise()
	b.found(expect.Duplicate)
}

// TestMissingRedeliveryIsFound cuts streams while messages are on their way: what a server counts as pushed once it was
// written is lost with the connection.
func TestMissingRedeliveryIsFound(t *testing.T) {
	b := newBench(t, faults{forgetful: true})
	for range 50 {
		b.do(Order{Verb: Storm, Wait: 20 * time.Millisecond})
		if b.do(Order{Verb: Connect, For: time.Second}).Missing > 0 {
			break
		}
	}
	b.do(Order{Verb: Verify})
	b.found(expect.Lost)
}

func TestSkippedHeartbeatIsFound(t *testing.T) {
	b := newBench(t, faults{beat: 1600 * time.Millisecond})
	b.do(Order{Verb: Hold, For: 2 * time.Second})
	b.found(expect.Heartbeat)
}

func TestDeadStreamIsOpenedAnew(t *testing.T) {
	b := newBench(t, faults{beat: time.Hour})
	out := b.do(Order{Verb: Hold, For: 3 * time.Second})
	b.found(expect.Heartbeat)
	if out.Devices.Ends["silent"] == 0 {
		t.Errorf("streams ended as %v", out.Devices.Ends)
	}
}

func TestLatencyCountsFromWhenItWasDue(t *testing.T) {
	b := newBench(t, faults{})
	out := b.do(Order{Verb: Push, Rate: 500, For: time.Second, Wait: patience})
	if n := out.Devices.Latency.Count(); n != 500 || out.Published.Accepted != 500 {
		t.Errorf("%d latencies of %d accepted", n, out.Published.Accepted)
	}
	if out.Devices.Over == nil || len(out.Devices.Over.List()) == 0 {
		t.Error("no latencies over time")
	}
}

func TestWorkerOverPipes(t *testing.T) {
	s := newFaulty(t, faults{drop: 5})
	in, orders := io.Pipe()
	answers, out := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, in, out)
		_ = out.Close()
	}()
	say, hear := json.NewEncoder(orders), json.NewDecoder(answers)
	if err := say.Encode(setup(s)); err != nil {
		t.Fatal(err)
	}
	lost := int64(0)
	for _, o := range []Order{{Verb: Connect, For: patience}, {Verb: Push, Rate: 100, For: time.Second, Wait: time.Second / 5}, {Verb: Verify}} {
		if err := say.Encode(o); err != nil {
			t.Fatal(err)
		}
		var a said
		for a.Outcome == nil {
			if err := hear.Decode(&a); err != nil {
				t.Fatal(err)
			}
		}
		lost += a.Outcome.Counts[expect.Lost]
	}
	if lost != 20 {
		t.Errorf("%d lost, not 20", lost)
	}
	_ = orders.Close()
	_, _ = io.Copy(io.Discard, answers)
	if err := <-served; err != nil {
		t.Error(err)
	}
}
