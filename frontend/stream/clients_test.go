package stream

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
)

// contextOf is what a device says of its client.
func contextOf(library, version string) *protocol.DeviceContext {
	return &protocol.DeviceContext{Labels: map[string]string{"client": library, "client_version": version}}
}

// counted is ramen_frontend_clients of r, by "library version".
func counted(tb testing.TB, r prometheus.Gatherer) map[string]float64 {
	tb.Helper()
	families, err := r.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			if f.GetName() == "ramen_frontend_clients" {
				found[m.Label[0].GetValue()+" "+m.Label[1].GetValue()] = m.Gauge.GetValue()
			}
		}
	}
	return found
}

// TestClientsAreCountedWhileTheirStreamsAreOpen, by what they said at the opening.
func TestClientsAreCountedWhileTheirStreamsAreOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		r := s.registry
		var open []*Stream
		for i, c := range []*protocol.DeviceContext{
			contextOf("web", "1.0.0"), contextOf("web", "1.0.0"), contextOf("go", "2.1.0-rc.1+b7"), nil, {App: "a"}, contextOf("", ""), contextOf("web", ""),
			contextOf("wéb", "1"), contextOf("web", "1 2"), contextOf("web\n", "1"), contextOf("web", fmt.Sprintf("%033d", 1)), contextOf("other", "other"),
		} {
			x := s.openOn(protocol.TransportWS, &Request{User: "u", Device: protocol.DeviceID(fmt.Sprint("d", i)), Context: c}, &tape{clock: s.clock}, idleLink{})
			x.OnFrame(&protocol.DeviceFrame{Kind: protocol.FrameRefresh, Context: contextOf("go", "9")}, nil, &Acks{})
			open = append(open, x)
		}
		want := map[string]float64{"web 1.0.0": 2, "go 2.1.0-rc.1+b7": 1, "none none": 3, "web none": 1, "other other": 5}
		if got := counted(t, r); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("counted %v, want %v", got, want)
		}
		if err := s.Check(); err != nil || s.Counted() != len(open) {
			t.Errorf("%d streams are counted, of %d: %v", s.Counted(), len(open), err)
		}
		for _, x := range open {
			x.Finish(protocol.ReasonDisconnected, "")
			x.OnGone()
		}
		for name, n := range counted(t, r) {
			if n != 0 {
				t.Errorf("%v streams of %s are counted after all have ended", n, name)
			}
		}
		if n := s.Counted(); n != 0 {
			t.Errorf("%d streams are counted after all have ended", n)
		}
	})
}

// TestHostileNamesOfClientsAreBounded: a flood of names makes a bounded number of series, an hour and in all, and does not keep out
// for good who comes later.
func TestHostileNamesOfClientsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		x, err := newClients(r, newClock())
		if err != nil {
			t.Fatal(err)
		}
		web := x.opened(contextOf("web", "1.0.0"))
		seen := map[string]bool{}
		flood := func(round int) {
			for i := range 1000 {
				at := x.opened(contextOf(fmt.Sprint("evil", round), fmt.Sprint(i)))
				if i%2 == 0 {
					x.closed(at)
				} else {
					defer x.closed(at)
				}
			}
			now := counted(t, r)
			if len(now) > maxClients+int(firstNamed) {
				t.Fatalf("%d pairs have a series, at most %d should", len(now), maxClients+int(firstNamed))
			}
			for name := range now {
				seen[name] = true
			}
		}
		for round := range 10 {
			flood(round)
		}
		if most := maxClients + int(firstNamed); len(seen) > most {
			t.Errorf("within an hour %d pairs had a series, at most %d should", len(seen), most)
		}
		late := x.opened(contextOf("web", "2.0.0"))
		if late != otherClients {
			t.Errorf("there was room for a new name: it got %d", late)
		}
		x.closed(late)
		time.Sleep(clientKept)
		late = x.opened(contextOf("web", "2.0.0"))
		now := counted(t, r)
		if now["web 2.0.0"] != 1 || now["web 1.0.0"] != 1 || len(now) > maxClients+int(firstNamed) {
			t.Errorf("an hour later %v", now)
		}
		x.closed(late)
		x.closed(web)
		if n := x.len(); n != 0 {
			t.Errorf("%d are counted after all have ended", n)
		}
	})
}

func TestCheckFindsAStreamThatIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, stop := newFixture(t, nil)
		defer stop()
		x := s.openOn(protocol.TransportSSE, &Request{User: "u", Device: "d", Context: contextOf("web", "1")}, &tape{clock: s.clock}, idleLink{})
		s.clients.closed(x.client)
		if err := s.Check(); err == nil {
			t.Error("a stream that is not counted is not found")
		}
		s.clients.opened(contextOf("web", "1"))
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		x.OnGone()
	})
}

func TestCountingAClientAllocatesNothing(t *testing.T) {
	x, err := newClients(prometheus.NewRegistry(), newClock())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*protocol.DeviceContext{nil, contextOf("web", "1.0.0"), contextOf("ä", "")} {
		if n := testing.AllocsPerRun(100, func() { x.closed(x.opened(c)) }); n != 0 {
			t.Errorf("%v: %v allocations", c, n)
		}
	}
}
