package linktest

import (
	"fmt"
	"sync"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

// shared is a receiver that is handed to one open after another, as a frontend does that opens a stream again. It keeps
// the calls of each generation apart.
type shared struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced with each change
	calls   map[link.Generation][]string
	pushes  map[link.Generation][]protocol.Push
}

var _ link.Receiver = (*shared)(nil)

func newShared() *shared {
	return &shared{changed: make(chan struct{}), calls: map[link.Generation][]string{}, pushes: map[link.Generation][]protocol.Push{}}
}

func (r *shared) call(g link.Generation, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[g] = append(r.calls[g], what)
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *shared) Push(g link.Generation, batch []protocol.Push, _ bool) {
	r.mu.Lock()
	r.pushes[g] = append(r.pushes[g], batch...)
	r.mu.Unlock()
	r.call(g, fmt.Sprint("push ", batch[0].Seq))
}

func (r *shared) Acked(g link.Generation, seq protocol.Seq) { r.call(g, fmt.Sprint("acked ", seq)) }

func (r *shared) Closed(g link.Generation, reason protocol.Reason, _ string) {
	r.call(g, "closed "+reason.String())
}

func (r *shared) Lost(g link.Generation, l link.Loss) { r.call(g, fmt.Sprint("lost ", l.Below)) }

func (r *shared) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	await(t, what, func() (bool, <-chan struct{}) {
		r.mu.Lock()
		defer r.mu.Unlock()
		return ok(), r.changed
	})
}

// generationsStayApart: two streams call one receiver, and each call says of which it is.
func generationsStayApart(t *testing.T, gw *scripted, l link.Gateway) {
	r := newShared()
	const first, second, third = 7, 1<<32 - 1, 0
	ends := map[link.Generation]*end{}
	streams := map[link.Generation]link.Stream{}
	for _, g := range []link.Generation{first, second, third} {
		s, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "d", Generation: g}, r)
		if err != nil {
			t.Fatal(err)
		}
		s.Credit(1 << 30)
		streams[g], ends[g] = s, gw.stream("d")
		ends[g].wait(t, "credit", func() bool { return ends[g].credit > 0 })
	}
	for i := 1; i <= 3; i++ {
		for g, e := range ends {
			e.push(false, pushOf(int(g%100)+i))
		}
	}
	ends[first].acked(5)
	ends[first].close(protocol.ReasonSuperseded, "")
	ends[second].lose(link.Loss{Below: 9})
	for g, last := range map[link.Generation]string{first: "closed superseded", second: "lost 9", third: "push 3"} {
		r.wait(t, last, func() bool { return len(r.calls[g]) > 0 && r.calls[g][len(r.calls[g])-1] == last })
	}
	for g := range ends {
		var want []string
		for i := 1; i <= 3; i++ {
			want = append(want, fmt.Sprint("push ", int(g%100)+i))
		}
		if got := r.calls[g][:min(3, len(r.calls[g]))]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("generation %d was told %v; want %v", g, got, want)
		}
	}
	streams[third].Close(protocol.ReasonGone)
	ends[third].wait(t, "close", func() bool { return ends[third].closed > 0 })
	ends[third].push(false, pushOf(4)) // after Close: nothing
	if len(r.calls) != 3 || len(r.calls[first]) != 5 || len(r.calls[second]) != 4 || len(r.calls[third]) != 3 {
		t.Errorf("calls are %v", r.calls)
	}
}

// reopenedReceiver: a frontend opens a stream again and again while it is pushed to, each time with the same receiver. What
// carries the latest generation is one stream without a gap, whatever an earlier one still had under way.
func reopenedReceiver(t *testing.T, g Owned) {
	defer g.underFire()()
	r := newShared()
	o := link.Open{Route: g.Route("u"), User: "u", Device: "d", Transport: protocol.TransportWS}
	for o.Generation = range link.Generation(50) {
		s, opened, err := g.Open(background, o, r)
		if err != nil {
			t.Fatal(err)
		}
		if opened.Epoch != o.Epoch {
			t.Fatalf("opened at epoch %d; asked at %d", opened.Epoch, o.Epoch)
		}
		s.Credit(1 << 20)
		r.wait(t, "pushes", func() bool { return len(r.pushes[o.Generation]) > 0 })
		s.Close(protocol.ReasonNone) // the socket lives: it is opened again
		r.mu.Lock()
		seq := opened.Seq
		for _, p := range r.pushes[o.Generation] {
			if seq++; p.Seq != seq {
				t.Errorf("generation %d was pushed %d where %d was next", o.Generation, p.Seq, seq)
			}
			o.Cursor = p.Cursor
		}
		r.mu.Unlock()
	}
}
