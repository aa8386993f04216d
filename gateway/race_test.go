package gateway

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// client is a device that reconnects, acks now and then, and remembers what it saw.
type client struct {
	user   protocol.UserID
	device protocol.DeviceID

	mu     sync.Mutex
	seen   map[protocol.MessageID]bool
	cursor string
	stream link.Stream
	last   protocol.Seq
}

// incarnation is one stream of a client.
type incarnation struct {
	c     *client
	t     *testing.T
	ready chan struct{} // closed once stream is set
	s     link.Stream

	mu   sync.Mutex
	next protocol.Seq // 0: not known yet
	over bool
}

func (n *incarnation) Push(_ link.Generation, batch []protocol.Push, _ bool) {
	n.mu.Lock()
	if n.over {
		n.t.Error("push after the end")
	}
	cost := 0
	for i := range batch {
		p := &batch[i]
		if n.next != 0 && p.Seq != n.next {
			n.t.Errorf("%s: seq %d after %d", n.c.device, p.Seq, n.next-1)
		}
		n.next = p.Seq + 1
		cost += p.Cost()
	}
	n.mu.Unlock()
	last := batch[len(batch)-1]
	n.c.mu.Lock()
	for i := range batch {
		n.c.seen[batch[i].Message.ID] = true
	}
	n.c.cursor = last.Cursor
	n.c.mu.Unlock()
	<-n.ready
	if last.Seq%3 == 0 {
		n.s.Ack(last.Seq, last.Cursor)
	}
	n.s.Credit(cost)
}

func (n *incarnation) end() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.over {
		n.t.Error("ended twice")
	}
	n.over = true
}

func (n *incarnation) Acked(link.Generation, protocol.Seq)             {}
func (n *incarnation) Closed(link.Generation, protocol.Reason, string) { n.end() }
func (n *incarnation) Lost(link.Generation, link.Loss)                 { n.end() }

// TestEverythingAtOnce: publishers, devices that come and go, acks, recalls and sweeps. Every accepted message reaches
// every device that was known, unless it was recalled.
func TestEverythingAtOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano()) // before synctest, whose clock always begins the same
	t.Logf("seed %d", seed)
	inSyncTest(t, func(c *Config) {
		c.OpensPerSecond, c.PublishesPerSecond = 0, 0
		c.SaveInterval, c.MailboxIdle, c.ExpiryScanInterval = 5*time.Millisecond, time.Second, time.Second
		c.CommitQueue = 64
	}, func(t *testing.T, w *fixture) { everythingAtOnce(t, w, seed) })
}

func everythingAtOnce(t *testing.T, w *fixture, seed uint64) {
	const users, devices, publishers, each = 6, 3, 4, 400
	faults := rand.New(rand.NewPCG(seed, 9))
	var faultsMu sync.Mutex
	w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
		faultsMu.Lock()
		defer faultsMu.Unlock()
		switch n := faults.IntN(40); {
		case op.Kind == memory.OpAppend && n == 0:
			return memory.Fault{Err: fmt.Errorf("scripted: %w", store.ErrUnknown), Lost: faults.IntN(2) == 0}
		case op.Kind == memory.OpAppend && n == 1, op.Kind == memory.OpForget && n < 4, op.Kind == memory.OpSaveDevices && !op.Durable && n < 4:
			return memory.Fault{Err: errors.New("scripted")}
		}
		return memory.Fault{}
	})
	var clients []*client
	for u := range users {
		for d := range devices {
			c := &client{user: protocol.UserID(fmt.Sprint("u", u)), device: protocol.DeviceID(fmt.Sprint("d", d)), seen: make(map[protocol.MessageID]bool)}
			clients = append(clients, c)
			w.reconnect(t, c) // known from now on
		}
	}
	var mu sync.Mutex
	accepted := make(map[protocol.UserID]map[protocol.MessageID]bool)
	var publishing, others sync.WaitGroup
	for p := range publishers {
		publishing.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(p)))
			for i := range each {
				m := w.message(fmt.Sprintf("p%d.%d", p, i), protocol.LanePriority(rng.IntN(3)), user(fmt.Sprint("u", rng.IntN(users))), ttl(time.Hour))
				for try := 0; ; try++ {
					r := w.publish(m)[0]
					if r.Status == link.StatusAccepted || r.Status == link.StatusDuplicate {
						break
					}
					time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
					if try > 1000 {
						t.Errorf("publish: %v", r.Err)
						return
					}
				}
				time.Sleep(time.Duration(rng.IntN(2)) * time.Millisecond)
				gone := false
				if rng.IntN(10) == 0 {
					_, _ = w.g.Recall(context.Background(), m.Route, m.User, m.Message.ID)
					gone = true // with an error it may be gone as well
				}
				mu.Lock()
				if accepted[m.User] == nil {
					accepted[m.User] = make(map[protocol.MessageID]bool)
				}
				accepted[m.User][m.Message.ID] = !gone
				mu.Unlock()
			}
		})
	}
	stop := make(chan struct{})
	for i, c := range clients {
		others.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				w.disturb(t, c, rng)
			}
		})
	}
	publishing.Wait()
	close(stop)
	others.Wait()
	w.store.Script(nil)
	for _, c := range clients {
		w.drain(t, c, accepted[c.user])
	}
	time.Sleep(3 * time.Second) // what is in doubt becomes known, idle users leave memory
	w.check()
	for _, c := range clients {
		c.mu.Lock()
		for id, must := range accepted[c.user] {
			if must && !c.seen[id] {
				t.Errorf("%s of %s never saw %s", c.device, c.user, id)
			}
		}
		c.mu.Unlock()
	}
	if n := w.g.common.Ledger.Accepted.Load(); n < publishers*each {
		t.Errorf("%d messages accepted", n)
	}
}

func (w *fixture) reconnect(t *testing.T, c *client) {
	c.mu.Lock()
	cursor := c.cursor
	c.mu.Unlock()
	n := &incarnation{c: c, t: t, ready: make(chan struct{})}
	s, opened, err := w.g.Open(context.Background(), link.Open{Route: w.route(c.user), User: c.user, Device: c.device, Transport: protocol.TransportWS, Cursor: cursor}, n)
	if err != nil {
		t.Errorf("open: %v", err)
		return
	}
	n.s, n.next = s, opened.Seq+1
	c.mu.Lock()
	c.stream, c.last = s, opened.Seq
	c.mu.Unlock()
	close(n.ready)
	s.Credit(64 << 10)
}

func (w *fixture) disturb(t *testing.T, c *client, rng *rand.Rand) {
	c.mu.Lock()
	s, cursor := c.stream, c.cursor
	c.mu.Unlock()
	switch rng.IntN(8) {
	case 0:
		w.reconnect(t, c)
	case 1:
		s.Close(protocol.ReasonGone)
		w.reconnect(t, c)
	case 2, 3:
		if cursor != "" {
			if err := w.g.Ack(context.Background(), link.Ack{Route: w.route(c.user), User: c.user, Device: c.device, Cursor: cursor}); err != nil {
				t.Errorf("ack: %v", err)
			}
		}
	case 4:
		s.Refresh(&protocol.DeviceContext{OS: "x"})
		s.Measured(3)
	case 5:
		_, _ = w.g.Devices(context.Background(), w.route(c.user), c.user)
		_, _ = w.g.Messages(context.Background(), w.route(c.user), c.user, allOfIt)
	default:
		time.Sleep(time.Duration(rng.IntN(3)) * time.Millisecond)
	}
}

// drain reads and acks on until the device has seen all that it must.
func (w *fixture) drain(t *testing.T, c *client, must map[protocol.MessageID]bool) {
	for range 400 {
		w.reconnect(t, c) // acks what it saw
		c.mu.Lock()
		missing := 0
		for id, m := range must {
			if m && !c.seen[id] {
				missing++
			}
		}
		c.mu.Unlock()
		if missing == 0 {
			w.reconnect(t, c)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
