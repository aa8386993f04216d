package system

import (
	"fmt"
	"testing"
)

// The newest stream of a device wins over every transport, and gets what the first had not acked.
func TestRule11NewestWins(t *testing.T) {
	each(t, stores, nil, func(t *testing.T, s *server) {
		for _, first := range streaming {
			for _, second := range transports {
				t.Run(first+"/"+second, func(t *testing.T) {
					user := fmt.Sprintf("%s-%s", first, second)
					s.publishAll(numbered(user, "m", 3))
					p := place{user: user, device: "d1"}
					a := s.open(t, first, p)
					a.ids(2)
					if err := a.ack(1); err != nil {
						t.Fatal(err)
					}
					s.untilPending(user, "d1", 2)
					b := s.open(t, second, p)
					expectEnd(t, first, a.end(), "superseded")
					equal(t, "the second got", b.ids(2), []string{"m-2", "m-3"})
					b.ackAll()
					s.untilWaiting(user, 0)
					if d := s.devices(user); len(d) != 1 {
						t.Errorf("the list has %+v", d)
					}
					b.close()
				})
			}
		}
	})
}

// A poll that waits is a stream too: the newer one ends it at once, without messages.
func TestRule11NewestWinsOverAPoll(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	for _, second := range transports {
		t.Run(second, func(t *testing.T) {
			p := place{user: "poll-" + second, device: "d1"}
			type answer struct {
				c   *conn
				err error
			}
			done := make(chan answer, 1)
			go func() {
				waits := p
				waits.wait = 25
				d, err := s.dialPoll(waits)
				if err != nil {
					done <- answer{nil, err}
					return
				}
				done <- answer{&conn{t: t, transport: "poll", at: p, device: d}, nil}
			}()
			until(t, "the poll", func() string { return same("online", s.devices(p.user)["d1"].Online, true) })
			b := s.open(t, second, p)
			a := <-done
			if a.err != nil {
				t.Fatal(a.err)
			}
			if _, err := a.c.device.next(); err != nil { // hello
				t.Fatal(err)
			}
			expectEnd(t, "poll", a.c.end(), "superseded")
			s.publish(msg{"user": p.user, "id": "m"})
			equal(t, "the second got", b.ids(1), []string{"m"})
			b.ackAll()
			b.close()
		})
	}
	s.checkLedger()
}

// Devices of a user do not end each other, nor do users.
func TestRule11NewestIsPerDevice(t *testing.T) {
	matrixOf(t, streaming, stores, nil, func(t *testing.T, s *server, open opener) {
		a, b, c := open(place{user: "u1", device: "d1"}), open(place{user: "u1", device: "d2"}), open(place{user: "u2", device: "d1"})
		s.results(msg{"users": []string{"u1", "u2"}, "payload": 1})
		for _, x := range []*conn{a, b, c} {
			x.push()
			x.ackAll()
		}
		s.untilWaiting("u1", 0)
		s.untilWaiting("u2", 0)
	})
}
