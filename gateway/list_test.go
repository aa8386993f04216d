package gateway

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// Whatever happens to messages and devices, a list says what counting one by one says.
func TestFix20ListSaysWhatIsThere(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	inSyncTest(t, func(c *Config) { c.OpensPerSecond, c.PublishesPerSecond, c.DevicesPerUser = 0, 0, 5 }, func(t *testing.T, w *fixture) {
		r := rand.New(rand.NewPCG(seed, 20))
		streams := map[string]*recorder{}
		systems := []string{"ios", "android", "web"}
		for step := range 3000 {
			device := fmt.Sprint("d", r.IntN(7))
			edits := []func(*link.Publish){ttl(time.Duration(1+r.IntN(20)) * time.Second)}
			switch r.IntN(12) {
			case 0, 1, 2:
				if r.IntN(2) == 0 {
					edits = append(edits, where("os", systems[r.IntN(3)]))
				}
				if r.IntN(3) == 0 {
					edits = append(edits, to(device))
				}
				if r.IntN(3) == 0 {
					edits = append(edits, key(fmt.Sprint("k", r.IntN(3))))
				}
				w.accept(fmt.Sprint("m", step), protocol.LanePriority(r.IntN(3)), edits...)
			case 3, 4:
				s, err := w.tryOpen(device, window(1+r.IntN(4)), context_(protocol.DeviceContext{OS: systems[r.IntN(3)]}))
				if err != nil {
					continue // each of the five has a stream
				}
				s.stream.Credit(r.IntN(2000))
				streams[device] = s
			case 5:
				if s := streams[device]; s != nil {
					s.stream.Refresh(&protocol.DeviceContext{OS: systems[r.IntN(3)]})
				}
			case 6, 7:
				if s := streams[device]; s != nil && len(s.ids()) > 0 {
					s.ack(s.opened.Seq + protocol.Seq(1+r.IntN(len(s.ids()))))
				}
			case 8:
				if s := streams[device]; s != nil {
					s.close()
					delete(streams, device)
				}
			case 9:
				if all := w.waiting(); len(all) > 0 {
					_, _ = w.recall(all[r.IntN(len(all))])
				}
			case 10:
				time.Sleep(time.Duration(r.IntN(2000)) * time.Millisecond)
			case 11:
				if r.IntN(20) == 0 {
					w.restart()
					clear(streams)
				}
			}
			synctest.Wait() // a list and a check are exact only while nothing is under way: the sweeper has woken with the clock
			w.check()
			listed, err := w.g.Devices(context.Background(), w.route(alice), alice)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range listed {
				s := w.look()
				d := s.Device(l.ID)
				if l.Pending != d.Pending || l.Unacked != d.Unacked {
					t.Fatalf("step %d: %s is listed with %d waiting, %d unacked; there are %d and %d", step, l.ID, l.Pending, l.Unacked, d.Pending, d.Unacked)
				}
			}
		}
	})
}

// heaviest is a user with all that the limits allow.
func heaviest(t *testing.T, messages int) *fixture {
	w := newFixture(t, func(c *Config) { c.OpensPerSecond, c.PublishesPerSecond = 0, 0 })
	t.Cleanup(func() { _ = w.g.Close(context.Background()) })
	for d := range 64 {
		w.open(fmt.Sprint("d", d)).close()
	}
	w.fill(messages, where("label.x", "y"))
	return w
}

// Counting every message for every device would take a hundred times as long for a hundred times as many.
func TestFix20ListOfDevicesDoesNotCountMessages(t *testing.T) {
	fastest := func(w *fixture) time.Duration {
		least := time.Hour
		for range 20 {
			began := time.Now()
			if _, err := w.g.Devices(context.Background(), w.route(alice), alice); err != nil {
				t.Fatal(err)
			}
			least = min(least, time.Since(began))
		}
		return least
	}
	few, many := fastest(heaviest(t, 99)), fastest(heaviest(t, 9900))
	if many > 10*few {
		t.Errorf("the list takes %v with 99 messages and %v with 9,900; want no more with more messages", few, many)
	}
}

// While a full mailbox is checked, or its messages expire, whoever else needs it comes in between.
func TestFix20NobodyWaitsForAWholeMailbox(t *testing.T) {
	for _, c := range []struct {
		name string
		run  func(w *fixture) error
	}{
		{"check", func(w *fixture) error { return w.g.Check() }},
		{"expiry", func(w *fixture) error {
			b := w.g.shards[w.route(alice).Shard].boxes[alice]
			b.sweep(time.Now().Add(time.Hour).UnixMilli())
			if n := len(w.waiting()); n > 0 {
				return fmt.Errorf("%d messages have not expired", n)
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			alone := time.Hour
			for range 3 {
				w := heaviest(t, 9900)
				began := time.Now()
				if err := c.run(w); err != nil {
					t.Fatal(err)
				}
				alone = min(alone, time.Since(began))
			}
			waits := make([]time.Duration, 7) // the shortest: a busy machine may stop whoever holds it, or who waits
			for i := range waits {
				waits[i] = longestWait(t, heaviest(t, 9900), c.run)
			}
			longest := slices.Min(waits)
			if longest > alone/2 {
				t.Errorf("the mailbox cannot be had for %v at once, of the %v that it all takes", longest, alone)
			}
		})
	}
}

// longestWait is the longest time for which alice's mailbox could not be had while run ran.
func longestWait(t *testing.T, w *fixture, run func(*fixture) error) time.Duration {
	b := w.g.shards[w.route(alice).Shard].boxes[alice]
	started, stop, longest := make(chan struct{}), make(chan struct{}), make(chan time.Duration)
	go func() {
		most := time.Duration(0)
		for n := 0; ; n++ {
			if n == 1000 {
				close(started)
			}
			began := time.Now()
			b.mu.Lock()
			most = max(most, time.Since(began))
			b.mu.Unlock()
			select {
			case <-stop:
				longest <- most
				return
			default:
			}
		}
	}()
	<-started
	err := run(w)
	close(stop)
	most := <-longest
	if err != nil {
		t.Fatal(err)
	}
	return most
}
