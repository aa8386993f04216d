package linktest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

// Owned is a gateway, itself or at the end of a link, and how to address a user of it. Its rate limits are off.
type Owned struct {
	link.Gateway
	Route   func(user protocol.UserID) link.Route // at an epoch of at least 2
	Release func()                                // gives up every shard; nil: cannot

	// OneReader: receivers are called by the goroutine that also brings the answers of calls, so that one that waits, which none
	// may, holds up those.
	OneReader bool
}

// RunGateway checks what package link promises of a gateway that keeps messages. start cleans up with t.
func RunGateway(t *testing.T, start func(t *testing.T) Owned) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, g Owned)
	}{
		{"NothingBeforeCredit", nothingBeforeCredit},
		{"PendingIsWhatCreditBrings", pendingComes},
		{"CreditIsPacedByCost", pacedByCost},
		{"PublishersAtOncePushInOrder", publishersAtOnce},
		{"ReceiverAcksWithinItsCall", acksWithin},
		{"ClosedIsTheLastCall", closedIsLast},
		{"NothingAfterCloseUnderFire", nothingUnderFire},
		{"EndOutlivesAMove", endOutlivesMove},
		{"ReopenedReceiverSeesOneStream", reopenedReceiver},
		{"AnotherEpochIsNotOwned", anotherEpoch},
		{"ReleasedShardSendsOn", releasedShard},
		{"PagesAddUp", pagesAddUp},
		{"PagesAreBounded", pagesAreBounded},
		{"OlderStreamCannotComeBack", olderStream},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, start(t)) })
	}
}

func (g Owned) message(user protocol.UserID, id string) link.Publish {
	return link.Publish{Route: g.Route(user), User: user, TTLMS: 60_000, Message: &protocol.Message{
		ID: protocol.MessageID(id), Priority: protocol.PriorityMedium, ContentType: protocol.ContentTypeJSON, Payload: []byte("1"),
	}}
}

func (g Owned) accept(t *testing.T, user protocol.UserID, ids ...string) {
	t.Helper()
	var batch []link.Publish
	for _, id := range ids {
		batch = append(batch, g.message(user, id))
	}
	for i, r := range g.Publish(background, batch) {
		if r.Status != link.StatusAccepted {
			t.Fatalf("publish of %s: %+v", ids[i], r)
		}
	}
}

func (g Owned) open(t *testing.T, user protocol.UserID, device protocol.DeviceID, r *recorder) (link.Stream, link.Opened) {
	t.Helper()
	s, opened, err := g.Open(background, link.Open{Route: g.Route(user), User: user, Device: device, Transport: protocol.TransportWS, Generation: r.generation}, r)
	if err != nil {
		t.Fatal(err)
	}
	return s, opened
}

// numbered fails unless r's pushes follow each other without a gap behind seq.
func numbered(t *testing.T, r *recorder, seq protocol.Seq) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.pushes {
		if p.Seq != seq+protocol.Seq(i)+1 {
			t.Fatalf("push %d has seq %d; the stream began behind %d", i, p.Seq, seq)
		}
	}
}

func nothingBeforeCredit(t *testing.T, g Owned) {
	r := newRecorder(t)
	s, opened := g.open(t, "u", "d", r)
	g.accept(t, "u", "m1", "m2")
	if page, err := g.Messages(background, g.Route("u"), "u", link.Page{Limit: 10}); err != nil || len(page.Messages) != 2 {
		t.Fatal(page, err)
	}
	r.mu.Lock()
	if len(r.pushes) != 0 {
		t.Error("pushed before credit")
	}
	r.mu.Unlock()
	s.Credit(1 << 20)
	r.wait("both pushes", func() bool { return len(r.pushes) == 2 })
	numbered(t, r, opened.Seq)
	r.close(s)
}

func pendingComes(t *testing.T, g Owned) {
	r := newRecorder(t)
	s, opened := g.open(t, "u", "d", r)
	if opened.Pending {
		t.Error("something is pending for a user to whom nothing was published")
	}
	g.accept(t, "u", "m1")
	r.close(s)
	r = newRecorder(t)
	s, opened = g.open(t, "u", "d", r)
	if !opened.Pending {
		t.Error("nothing is pending where a message waits")
	}
	s.Credit(1 << 20)
	r.wait("the push", func() bool { return len(r.pushes) == 1 })
	s.Ack(r.pushes[0].Seq, r.pushes[0].Cursor)
	r.close(s)
	r = newRecorder(t)
	s, opened = g.open(t, "u", "d", r)
	if opened.Pending {
		t.Error("what was acked is pending")
	}
	r.close(s)
}

func pacedByCost(t *testing.T, g Owned) {
	r := newRecorder(t)
	s, _ := g.open(t, "u", "d", r)
	g.accept(t, "u", "m1", "m2", "m3", "m4")
	for want := 1; want <= 4; want++ {
		s.Credit(1) // while any is left one goes out, and its cost is owed
		r.wait("one push more", func() bool { return len(r.pushes) >= want })
		r.mu.Lock()
		if len(r.pushes) != want {
			t.Errorf("%d pushes for the credit of %d", len(r.pushes), want)
		}
		cost := r.pushes[len(r.pushes)-1].Cost()
		r.mu.Unlock()
		s.Credit(cost - 1)
	}
	r.close(s)
}

func publishersAtOnce(t *testing.T, g Owned) {
	const publishers, each = 8, 25 // less than a window
	r := newRecorder(t)
	s, opened := g.open(t, "u", "d", r)
	s.Credit(1 << 30)
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				res := g.Publish(background, []link.Publish{g.message("u", fmt.Sprintf("%d.%d", p, i))})
				if res[0].Status != link.StatusAccepted {
					t.Errorf("%+v", res[0])
				}
			}
		})
	}
	all.Wait()
	r.wait("all pushes", func() bool { return len(r.pushes) == publishers*each })
	numbered(t, r, opened.Seq)
	next := make(map[string]int)
	for _, p := range r.pushes {
		var from, i int
		if _, err := fmt.Sscanf(string(p.Message.ID), "%d.%d", &from, &i); err != nil || next[fmt.Sprint(from)] != i {
			t.Fatalf("%s out of order", p.Message.ID)
		}
		next[fmt.Sprint(from)]++
	}
	r.close(s)
}

func acksWithin(t *testing.T, g Owned) {
	const n = 600 // more than a window
	r := newRecorder(t)
	var s link.Stream
	ready := make(chan struct{})
	r.within = func(batch []protocol.Push) {
		<-ready
		last := batch[len(batch)-1]
		s.Ack(last.Seq, last.Cursor)
		for i := range batch {
			s.Credit(batch[i].Cost())
		}
	}
	s, _ = g.open(t, "u", "d", r)
	close(ready)
	s.Credit(1000)
	for i := range n {
		g.accept(t, "u", fmt.Sprint("m", i))
	}
	r.wait("all pushes", func() bool { return len(r.pushes) == n })
	r.close(s)
}

func closedIsLast(t *testing.T, g Owned) {
	first, second := newRecorder(t), newRecorder(t)
	s1, _ := g.open(t, "u", "d", first)
	s1.Credit(1 << 20)
	g.accept(t, "u", "m1")
	first.wait("the push", func() bool { return len(first.pushes) == 1 })
	s2, _ := g.open(t, "u", "d", second)
	s2.Credit(1 << 20)
	first.wait("the end", func() bool { return first.over })
	if first.reason != protocol.ReasonSuperseded {
		t.Errorf("ended by %v", first.reason)
	}
	g.accept(t, "u", "m2")
	second.wait("both pushes", func() bool { return len(second.pushes) == 2 })
	second.close(s2)
}

// underFire publishes to u from two goroutines until stop is called.
func (g Owned) underFire() (stop func()) {
	over := make(chan struct{})
	var firing sync.WaitGroup
	for p := range 2 {
		firing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-over:
					return
				default:
					g.Publish(background, []link.Publish{g.message("u", fmt.Sprintf("%d.%d", p, i))})
				}
			}
		})
	}
	return func() {
		close(over)
		firing.Wait()
	}
}

func nothingUnderFire(t *testing.T, g Owned) {
	defer g.underFire()()
	cursor := ""
	for range 50 {
		r := newRecorder(t)
		s, opened, err := g.Open(background, link.Open{Route: g.Route("u"), User: "u", Device: "d", Transport: protocol.TransportWS, Cursor: cursor, Generation: r.generation}, r)
		if err != nil {
			t.Error(err)
			break
		}
		s.Credit(1 << 20)
		r.wait("pushes", func() bool { return len(r.pushes) > 0 })
		r.close(s)
		numbered(t, r, opened.Seq)
		r.mu.Lock()
		cursor = r.pushes[len(r.pushes)-1].Cursor
		r.mu.Unlock()
	}
}

// endOutlivesMove: what ended a stream while it was pushed to is told, though the frontend takes the stream to another owner
// before the push has returned.
func endOutlivesMove(t *testing.T, g Owned) {
	if g.OneReader {
		t.Skip("a receiver cannot wait here for a call")
	}
	pushing, release := make(chan struct{}), make(chan struct{})
	r := newRecorder(t)
	r.within = func([]protocol.Push) { close(pushing); <-release }
	s, _ := g.open(t, "u", "d", r)
	s.Credit(1 << 20)
	var publisher sync.WaitGroup
	publisher.Go(func() { g.Publish(background, []link.Publish{g.message("u", "m1")}) })
	<-pushing
	if n, err := g.Disconnect(background, g.Route("u"), "u", "d", "because"); n != 1 || err != nil {
		t.Errorf("%d streams disconnected, %v", n, err)
	}
	s.Close(protocol.ReasonNone)
	close(release)
	publisher.Wait()
	r.wait("the end", func() bool { return r.over })
	if r.reason != protocol.ReasonDisconnected || r.detail != "because" {
		t.Errorf("ended by %q, %q", r.reason, r.detail)
	}
}

func olderStream(t *testing.T, g Owned) {
	first, second := newRecorder(t), newRecorder(t)
	_, opened := g.open(t, "u", "d", first)
	s, _ := g.open(t, "u", "d", second)
	r := newRecorder(t)
	r.over = true // any call is one too many
	_, _, err := g.Open(background, link.Open{Route: g.Route("u"), User: "u", Device: "d", Number: opened.Number, Acked: opened.Cursor}, r)
	if !errors.Is(err, link.ErrSuperseded) {
		t.Errorf("the re-open of the older: %v", err)
	}
	second.close(s)
}
