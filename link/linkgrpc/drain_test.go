package linkgrpc

import (
	"context"
	"sync"
	"testing"

	"ramen/internal/testserver/faultproxy"
	"ramen/link"
	"ramen/protocol"
)

func slowProxy(t *testing.T, address string, kilobytes int) string {
	p := faultproxy.New(t, address)
	p.Limit(t, faultproxy.Answers, kilobytes)
	return p.Addr
}

// told keeps how a stream ended.
type told struct {
	counting
	mu     sync.Mutex
	losses []link.Loss
	over   chan struct{}
}

func (r *told) Lost(_ link.Generation, l link.Loss) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.losses = append(r.losses, l); len(r.losses) == 1 {
		close(r.over)
	}
}

// TestDrainIsTold: a gateway that drains serves on, and what streams it still has when it ends are lost for that reason. So is one of a
// link that was made while it drained.
func TestDrainIsTold(t *testing.T) {
	gw := &pump{payload: 10}
	server, address := listen(t, gw, nil)
	log := newLogged()
	open := func(client *Client) (*told, *Link) {
		l := up(t, client.To("g1", address))
		r := &told{counting: counting{t: t}, over: make(chan struct{})}
		if _, _, err := l.Open(t.Context(), link.Open{User: "u", Device: "d"}, r); err != nil {
			t.Fatal(err)
		}
		return r, l
	}
	before, l := open(connect(t, func(cfg *ClientConfig) { cfg.Log = log.logger() }))
	server.Drain()
	server.Drain() // once is enough
	log.wait(t, "gateway is leaving")
	devices(t, l)
	after, _ := open(connect(t, nil))
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	for _, r := range []*told{before, after} {
		<-r.over
		if want := (link.Loss{Reason: protocol.ReasonDrain}); len(r.losses) != 1 || r.losses[0] != want {
			t.Errorf("the stream was told %+v; want %+v", r.losses, want)
		}
	}
}

// TestMovedStreamsAreForgotten: a frontend keeps a stream that has gone on elsewhere for as long as its gateway may still tell its end.
func TestMovedStreamsAreForgotten(t *testing.T) {
	_, address := listen(t, &pump{payload: 10}, nil)
	client := connect(t, nil)
	l := up(t, client.To("g1", address))
	for range 3 {
		s, _, err := l.Open(t.Context(), link.Open{User: "u", Device: "d"}, &counting{t: t})
		if err != nil {
			t.Fatal(err)
		}
		s.Close(protocol.ReasonNone)
	}
	a := l.standing.Load()
	a.mu.Lock()
	if len(a.streams) != 3 {
		t.Errorf("%d streams are kept; want 3", len(a.streams))
	}
	for i := range 2 {
		a.moved[i].since = a.moved[i].since.Add(-movedFor)
	}
	a.mu.Unlock()
	eventually(t, "two to be forgotten", func() bool { return client.metrics.streams.Load() == 1 })
}

// TestCloseSendsWhatWaits: what a frontend has said last arrives, though it ends.
func TestCloseSendsWhatWaits(t *testing.T) {
	gw := &lastWords{}
	_, address := listen(t, gw, nil)
	client := connect(t, nil)
	l := up(t, client.To("g1", address))
	const streams = 500
	for range streams {
		s, _, err := l.Open(t.Context(), link.Open{User: "u", Device: "d"}, &counting{t: t})
		if err != nil {
			t.Fatal(err)
		}
		s.Ack(7, "k7")
		s.Close(protocol.ReasonGone)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all ends", func() bool { gw.mu.Lock(); defer gw.mu.Unlock(); return gw.ends == streams })
	gw.mu.Lock()
	defer gw.mu.Unlock()
	if gw.acks != streams || gw.reasons[protocol.ReasonGone] != streams {
		t.Errorf("%d acks, ends %v", gw.acks, gw.reasons)
	}
}

// lastWords counts what frontends say at the end of their streams.
type lastWords struct {
	pump
	mu         sync.Mutex
	acks, ends int
	reasons    map[protocol.Reason]int
}

func (g *lastWords) Open(context.Context, link.Open, link.Receiver) (link.Stream, link.Opened, error) {
	return lastStream{new(pumped), g}, link.Opened{}, nil
}

type lastStream struct {
	*pumped
	g *lastWords
}

func (s lastStream) Ack(protocol.Seq, string) { s.g.mu.Lock(); s.g.acks++; s.g.mu.Unlock() }

func (s lastStream) Close(r protocol.Reason) {
	s.g.mu.Lock()
	defer s.g.mu.Unlock()
	s.g.ends++
	if s.g.reasons == nil {
		s.g.reasons = make(map[protocol.Reason]int)
	}
	s.g.reasons[r]++
}
