package linkgrpc

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

// hasty is a gateway that ends streams before it has answered their open.
type hasty struct {
	silent
	tell func(r link.Receiver, g link.Generation)
}

func (h hasty) Open(_ context.Context, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	h.tell(r, o.Generation)
	return new(pumped), link.Opened{Name: "s"}, nil
}

// calls notes what a receiver is told.
type calls struct {
	mu  sync.Mutex
	all []string
}

func (r *calls) note(g link.Generation, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, fmt.Sprint(g, " ", what))
}

func (r *calls) Push(g link.Generation, _ []protocol.Push, _ bool) { r.note(g, "push") }
func (r *calls) Acked(g link.Generation, seq protocol.Seq)         { r.note(g, fmt.Sprint("acked ", seq)) }
func (r *calls) Closed(g link.Generation, reason protocol.Reason, detail string) {
	r.note(g, "closed "+reason.String()+" "+detail)
}
func (r *calls) Lost(g link.Generation, l link.Loss) { r.note(g, fmt.Sprint("lost ", l.Below)) }

// TestEndBeforeTheAnswer: a stream that another has replaced before its own open was answered is opened, and told its end.
func TestEndBeforeTheAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		tell func(r link.Receiver, g link.Generation)
		want string
	}{
		"closed": {func(r link.Receiver, g link.Generation) {
			r.Acked(g, 4)
			r.Closed(g, protocol.ReasonSuperseded, "a newer one")
		}, "[7 acked 4 7 closed superseded a newer one]"},
		"lost": {func(r link.Receiver, g link.Generation) { r.Lost(g, link.Loss{Below: 9}) }, "[7 lost 9]"},
	} {
		t.Run(name, func(t *testing.T) {
			server, address := listen(t, hasty{tell: c.tell}, nil)
			r := new(calls)
			s, opened, err := up(t, connect(t, nil).To("g1", address)).Open(t.Context(), link.Open{User: "u", Device: "d", Generation: 7}, r)
			if err != nil || opened.Name != "s" {
				t.Fatal(opened, err)
			}
			told := func() string { r.mu.Lock(); defer r.mu.Unlock(); return fmt.Sprint(r.all) }
			eventually(t, "the end", func() bool { return told() == c.want })
			s.Credit(1) // too late: nothing happens
			s.Close(protocol.ReasonGone)
			if n := server.metrics.streams.Load(); n != 0 {
				t.Errorf("the gateway still has %d streams", n)
			}
		})
	}
}

// slowOpen is a gateway that answers opens when it is released, whatever has become of their callers.
type slowOpen struct {
	silent
	begun, release chan struct{}
	closed         chan protocol.Reason
}

func (g slowOpen) Open(context.Context, link.Open, link.Receiver) (link.Stream, link.Opened, error) {
	close(g.begun)
	<-g.release
	return closing{new(pumped), g.closed}, link.Opened{}, nil
}

type closing struct {
	*pumped
	closed chan protocol.Reason
}

func (s closing) Close(r protocol.Reason) { s.closed <- r }

// TestStreamThatNobodyWaitsForIsClosed: its caller has given up before the gateway opened it, or its link has ended.
func TestStreamThatNobodyWaitsForIsClosed(t *testing.T) {
	for name, leave := range map[string]func(server *Server, client *Client, l *Link, giveUp func()){
		"given up": func(_ *Server, _ *Client, l *Link, giveUp func()) {
			giveUp()
			devices(t, l) // it comes behind
		},
		"link ended": func(server *Server, client *Client, _ *Link, _ func()) {
			_ = client.Close()
			eventually(t, "the end of the link", func() bool { return server.metrics.up.Load() == 0 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			gw := slowOpen{begun: make(chan struct{}), release: make(chan struct{}), closed: make(chan protocol.Reason, 2)}
			server, address := listen(t, gw, nil)
			client := connect(t, nil)
			l := up(t, client.To("g1", address))
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			answer := make(chan error, 1)
			r := new(calls)
			go func() {
				_, _, err := l.Open(ctx, link.Open{User: "u", Device: "d"}, r)
				answer <- err
			}()
			<-gw.begun
			leave(server, client, l, func() { giveUp(); <-answer })
			close(gw.release)
			if reason := <-gw.closed; reason != protocol.ReasonUnavailable {
				t.Errorf("the stream is closed for %q", reason)
			}
			eventually(t, "nothing to be left", func() bool { return server.metrics.calls.Load() == 0 })
			if n := server.metrics.streams.Load(); n != 0 || len(gw.closed) > 0 || len(r.all) > 0 {
				t.Errorf("the gateway has %d streams, %d more ends; the receiver was told %v", n, len(gw.closed), r.all)
			}
		})
	}
}
