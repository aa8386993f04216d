package ramen

import (
	"context"
	"testing"

	"ramen/protocol"
)

// savedCursors tells of each place that is saved.
type savedCursors struct {
	load  string
	saved chan string
}

func (s *savedCursors) Load(context.Context) (string, error) { return s.load, nil }

func (s *savedCursors) Save(_ context.Context, cursor string) error {
	s.saved <- cursor
	return nil
}

// SPEC 2.2: a device that has processed no push on a stream comes back with the cursor of its hello.
func TestFix11HelloIsThePlaceUntilAPushComes(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		cut := make(chan struct{})
		s.script = func(n int, s *scripted) {
			if n == 0 {
				h := helloFor(s.opening)
				h.Cursor = "c0"
				s.hello(h)
				if tr != Poll { // an answer without messages has hello's place in it
					<-cut
				}
				return
			}
			mailbox(3, never)(n, s)
		}
		cursors := &savedCursors{saved: make(chan string, 16)}
		c := newCollector()
		start(t, s, DeviceConfig{Transports: []Transport{tr}, Cursors: cursors, Handler: collect(c)})
		if got := await(t, "a saved place", cursors.saved); got != "c0" {
			t.Errorf("saved %q, want hello's c0", got)
		}
		close(cut)
		c.await(t, 3)
		c.wantInOrder(t, 3)
		if opened := s.opened(); opened[0].Cursor != "" || opened[1].Cursor != "c0" {
			t.Errorf("opened with the cursors %q and %q, want none and c0", opened[0].Cursor, opened[1].Cursor)
		}
	})
}

// A device that has a place keeps it where it was resumed, and takes hello's where it was not.
func TestFix11HelloReplacesAPlaceThatIsNotHonoured(t *testing.T) {
	for _, resumed := range []bool{true, false} {
		s := newServer(t)
		cut := make(chan struct{})
		s.script = func(n int, s *scripted) {
			h := helloFor(s.opening)
			h.Resumed, h.Cursor = resumed, "c9"
			s.hello(h)
			if n == 0 {
				<-cut
				return
			}
			<-s.gone
		}
		cursors := &savedCursors{load: "c7", saved: make(chan string, 16)}
		hellos := make(chan protocol.Hello, 16)
		start(t, s, DeviceConfig{Transports: []Transport{SSE}, Cursors: cursors, Handler: collect(newCollector()), OnHello: func(h Hello) { hellos <- h }})
		if h := await(t, "hello", hellos); h.Cursor != "c9" {
			t.Errorf("hello is %+v", h)
		}
		want := "c7"
		if !resumed {
			want = await(t, "a saved place", cursors.saved)
		}
		close(cut)
		await(t, "the second hello", hellos)
		if opened := s.opened(); opened[1].Cursor != want || resumed != (want == "c7") {
			t.Errorf("resumed %v: came back with %q, want %q", resumed, opened[1].Cursor, want)
		}
	}
}
