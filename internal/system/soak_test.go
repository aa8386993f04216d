package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ramen/internal/testserver"
	"ramen/protocol"
)

const (
	soakUsers    = 50
	soakDevices  = 4 // a user
	soakMessages = 40
)

// 200 devices are cut at random, change their transport each time and say where they stand in every way, while publishers
// publish: in the end each has received every message, in order within a priority of a stream, and nothing acked came again.
//
// On a store that is elsewhere an owner that does not run for 2.4 s, on a busy machine, loses its lease, and what it had not saved of acks.
// Then a device may not be resumed by the first form, and what it has acked may come again unless its cursor covers it.
func TestSoak(t *testing.T) {
	on := local
	if long {
		on = stores
	}
	each(t, on, nil, func(t *testing.T, s *server) { soak(t, s, func() {}) })
}

// TestSoakWhereLeasesEnd is TestSoak on a store that does not answer for as long as a lease, again and again.
func TestSoakWhereLeasesEnd(t *testing.T) {
	testserver.Long(t)
	t.Parallel()
	s, r := onSilentRedis(t)
	ctx, stop := context.WithCancel(t.Context())
	var silencing sync.WaitGroup
	silencing.Go(func() {
		for ctx.Err() == nil {
			s.loseLeases(r)
			select {
			case <-ctx.Done():
			case <-time.After(2 * time.Second):
			}
		}
	})
	quiet := func() {
		stop()
		silencing.Wait()
		r.Proxy.Heal(t)
	}
	t.Cleanup(quiet) // before the server's end
	soak(t, s, quiet)
	if n := s.lost(); n < 2*float64(s.cfg.Shards) {
		t.Errorf("%v shards were lost; the leases have not ended twice", n)
	}
}

// soak calls quiet once everything has come: from then on leases stay.
func soak(t *testing.T, s *server, quiet func()) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var all []*soaked
	for u := range soakUsers {
		for d := range soakDevices {
			x := &soaked{s: s, t: t, r: rand.New(rand.NewPCG(seed, uint64(u*soakDevices+d))), at: place{user: fmt.Sprint("u", u), device: fmt.Sprint("d", d)}, got: map[string]bool{}, acked: map[string]bool{}}
			if _, err := x.dial("poll"); err != nil { // now it is known
				t.Fatal(err)
			}
			all = append(all, x)
		}
	}
	var devices, publishers sync.WaitGroup
	for _, x := range all {
		devices.Go(func() { x.live() })
	}
	for k := range 4 {
		publishers.Go(func() { soakPublish(s, rand.New(rand.NewPCG(seed, uint64(1000+k))), k) })
	}
	publishers.Wait()
	devices.Wait()
	quiet()
	for _, x := range all {
		x.live() // of those whose last acks were lost
	}
	lost := s.lost()
	t.Logf("%v streams; %v shards were lost", s.metric("ramen_frontend_opens_total"), lost)
	if t.Failed() {
		return
	}
	for u := range soakUsers {
		s.untilWaiting(fmt.Sprint("u", u), 0)
	}
	if a, b := s.metric("ramen_gateway_messages_accepted_total"), s.metric("ramen_gateway_messages_acked_total"); lost == 0 && (a != soakUsers*soakMessages || a != b) {
		t.Errorf("%v accepted, %v acked, want %d", a, b, soakUsers*soakMessages)
	}
}

// soakPublish publishes to the users that are k's, in batches of all sizes.
func soakPublish(s *server, r *rand.Rand, k int) {
	next := make([]int, soakUsers)
	for left := true; left; {
		left = false
		var batch []msg
		for u := k; u < soakUsers; u += 4 {
			for range min(r.IntN(6), soakMessages-next[u]) {
				next[u]++
				batch = append(batch, msg{"user": fmt.Sprint("u", u), "id": fmt.Sprint(next[u]), "priority": []string{"high", "medium", "low"}[r.IntN(3)], "payload": next[u]})
			}
			left = left || next[u] < soakMessages
		}
		for end := time.Now().Add(patience); len(batch) > 0; {
			r, err := s.try("POST", s.backendURL("/v1/publish"), encode(msg{"messages": batch}))
			var answer struct{ Results []result }
			if err != nil || r.status != 200 || json.Unmarshal([]byte(r.body), &answer) != nil || len(answer.Results) != len(batch) || time.Now().After(end) {
				s.t.Errorf("publish: %v, %+v", err, r)
				return
			}
			var again []msg // of one user all or none: they are one step
			for i, m := range batch {
				if answer.Results[i].Status == "rejected" {
					again = append(again, m)
				}
			}
			batch = again
		}
	}
}

// soaked is one device of the soak.
type soaked struct {
	s     *server
	t     *testing.T
	r     *rand.Rand
	at    place
	got   map[string]bool // processed
	acked map[string]bool // for sure
	here  []string        // of this stream, in order
	epoch uint64          // of the latest hello
}

// dial opens a stream, again where the store is elsewhere and a shard has no owner at the moment.
func (x *soaked) dial(transport string) (c *conn, err error) {
	for end := time.Now().Add(patience); ; {
		c, err = x.s.dial(x.t, transport, x.at)
		if err == nil || !elsewhere(x.s.cfg.Store.URL.Scheme()) || time.Now().After(end) {
			return c, err
		}
	}
}

// resumed checks hello against the place that the device gave. Where the shard has another epoch, its owner was not the one before, or has
// lost its lease: then a cursor alone is honoured, and without one what was acked may come again.
func (x *soaked) resumed(h *protocol.Hello) bool {
	before, byCursor, claimed := x.epoch, x.at.cursor != "", x.at.cursor != "" || x.at.stream != ""
	x.epoch = epochOf(h.Stream)
	if moved := x.epoch > before; h.Resumed != claimed && !(moved && claimed && !byCursor) {
		return false
	} else if moved && !h.Resumed {
		clear(x.acked)
	}
	if h.Resumed {
		for _, id := range x.here { // what is behind the place was cut off when it was chosen
			x.acked[id] = true
		}
	}
	return true
}

// epochOf is that of the stream of that name, which tells it to those who know.
func epochOf(stream string) uint64 {
	parts := strings.Split(stream, ".")
	if len(parts) != 3 {
		panic("a stream's name is " + stream)
	}
	n, err := strconv.ParseUint(parts[1], 36, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// live opens stream after stream until everything has come, and acks it.
func (x *soaked) live() {
	for len(x.got) < soakMessages || x.s.devices(x.at.user)[x.at.device].Pending > 0 {
		if !x.stream() {
			return
		}
	}
}

// stream is one stream, cut at random. It reports whether to go on.
func (x *soaked) stream() bool {
	c, err := x.dial(transports[x.r.IntN(len(transports))])
	if err != nil {
		x.t.Errorf("%+v: open: %v", x.at, err)
		return false
	}
	defer c.close()
	if before := x.epoch; !x.resumed(&c.hello) {
		x.t.Errorf("%s: at %+v hello is %+v; the epoch was %d", c.transport, x.at, c.hello, before)
		return false
	}
	x.here = nil
	x.at.cursor, x.at.stream, x.at.seq, x.at.hasSeq = "", "", 0, false
	over := c.close
	if poll, ok := c.device.(*pollDevice); ok {
		// A request that is cut on its way may open its stream after the next one, and supersede it: that is no fault.
		poll.quick, over = true, func() { poll.left.Store(true) }
	}
	cut := time.AfterFunc(time.Duration(20+x.r.IntN(250))*time.Millisecond, over)
	defer cut.Stop()
	last := map[protocol.Priority]int{}
	kept := 0 // of here, what the latest place covers
	for n := x.r.IntN(soakMessages); n > 0 || len(x.got) == soakMessages; n-- {
		if len(x.got) == soakMessages && len(x.here) > 0 && len(x.got)-len(x.acked) <= len(x.here) {
			break // reconnecting acks the rest
		}
		f, err := c.frame()
		if err != nil {
			var e *ending
			if !errors.As(err, &e) || e.goaway != nil {
				x.t.Errorf("%s: %+v: %v", c.transport, x.at, err)
				return false
			}
			break // cut
		}
		if f.Kind != protocol.ServerPush {
			x.t.Errorf("%s: %+v: %+v", c.transport, x.at, f)
			return false
		}
		if !x.process(c, &f.Push, last) {
			return false
		}
		if poll, ok := c.device.(*pollDevice); ok {
			if f.Push.Cursor == "" {
				x.stand("", f.Push.Seq, poll.stream)
			} else {
				x.stand(f.Push.Cursor, 0, "")
			}
		} else if x.r.IntN(2) == 0 {
			x.stand(f.Push.Cursor, 0, "")
		} else {
			x.stand("", f.Push.Seq, c.hello.Stream)
		}
		kept = len(x.here)
		if x.r.IntN(4) == 0 {
			if x.ack(c, f.Push.Seq) {
				x.mark(len(x.here))
			}
		}
	}
	x.here = x.here[:kept]
	if x.r.IntN(4) == 0 { // it forgets where it stands
		x.at.cursor, x.at.stream, x.at.seq, x.at.hasSeq, x.here = "", "", 0, false, nil
	}
	return true
}

func (x *soaked) stand(cursor string, seq protocol.Seq, stream string) {
	x.at.cursor, x.at.seq, x.at.hasSeq, x.at.stream = cursor, uint64(seq), stream != "", stream
}

// process takes a push, and checks what must hold of it.
func (x *soaked) process(c *conn, p *protocol.Push, last map[protocol.Priority]int) bool {
	id := string(p.Message.ID)
	var n int
	_, _ = fmt.Sscan(id, &n)
	switch {
	case x.acked[id]:
		x.t.Errorf("%s: %+v: %s was acked, and came again", c.transport, x.at, id)
		return false
	case n <= last[p.Message.Priority] && !slices.Contains(x.here, id):
		x.t.Errorf("%s: %+v: %s came after %d of the same priority", c.transport, x.at, id, last[p.Message.Priority])
		return false
	case slices.Contains(x.here, id):
		x.t.Errorf("%s: %+v: %s came twice on one stream", c.transport, x.at, id)
		return false
	}
	last[p.Message.Priority] = n
	x.got[id] = true
	x.here = append(x.here, id)
	return true
}

// ack acks, and reports whether the server has certainly heard it.
func (x *soaked) ack(c *conn, seq protocol.Seq) bool {
	err := c.ack(seq)
	return err == nil && (c.transport == "sse" || c.transport == "poll")
}

func (x *soaked) mark(n int) {
	for _, id := range x.here[:n] {
		x.acked[id] = true
	}
}
