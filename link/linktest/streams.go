package linktest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

// open opens a stream of device through l.
func open(t *testing.T, gw *scripted, l link.Gateway, device protocol.DeviceID) (*recorder, link.Stream, *end) {
	t.Helper()
	r := newRecorder(t)
	s, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: device, Transport: protocol.TransportWS, Generation: r.generation}, r)
	if err != nil {
		t.Fatal(err)
	}
	return r, s, gw.stream(device)
}

func pushOf(seq int) protocol.Push {
	m := fullMessage(fmt.Sprint("m", seq))
	if seq%3 == 0 {
		m = &protocol.Message{ID: m.ID, Priority: protocol.PriorityHigh, ContentType: "text/plain"}
	}
	return protocol.Push{Seq: protocol.Seq(seq), Cursor: fmt.Sprint("k", seq), Redelivered: seq%2 == 0, Message: m}
}

func openArrives(t *testing.T, gw *scripted, l link.Gateway) {
	opens := []link.Open{
		{Route: route, User: "u", Device: "d", Transport: protocol.TransportSSE, Context: fullContext(), Cursor: "k3.1.x-_", Window: 17},
		{Route: route, User: "u", Device: "d", Transport: protocol.TransportPoll, HasSeq: true, Seq: 5, Name: "s1.2"},
		{Route: route, User: "u", Device: "d", Transport: protocol.TransportGRPC, HasSeq: true, Generation: 1<<32 - 1},
		{Route: route, User: "u", Device: "d", Transport: protocol.TransportWS, Context: &protocol.DeviceContext{}, Seq: 1 << 52,
			Number: protocol.StreamNumber{Epoch: 3, Counter: 1 << 60}, Acked: "k1", Sent: []link.Sent{
				{Seq: 1<<52 - 1, Cursor: "k2", Priority: protocol.PriorityHigh, Bytes: 1 << 20}, {Seq: 1 << 52, Cursor: "k3", Priority: protocol.PriorityLow},
			}},
	}
	answers := []link.Opened{
		{Number: protocol.StreamNumber{Epoch: 1, Counter: 2}, Name: "s1.2", Resumed: true, Seq: protocol.MaxSeq, Expired: 1<<32 - 1, Cursor: "k9", Pending: true, Epoch: 1<<40 + 7},
		{Number: protocol.StreamNumber{Epoch: 1 << 62, Counter: 1 << 63}, Name: "s"},
	}
	for i, o := range opens {
		var got link.Open
		want := answers[i%2]
		gw.open = func(_ context.Context, o link.Open) (link.Opened, error) { got = o; return want, nil }
		s, opened, err := l.Open(background, o, newRecorder(t))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "open", got, o)
		same(t, "opened", opened, want)
		s.Close(protocol.ReasonGone)
	}
}

func refusedOpen(t *testing.T, gw *scripted, l link.Gateway) {
	for _, want := range append(refusals(), link.ErrSuperseded) {
		gw.open = func(context.Context, link.Open) (link.Opened, error) { return link.Opened{}, want }
		r := newRecorder(t)
		r.over = true // any call is one too many
		s, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "d"}, r)
		sameError(t, "open", err, want)
		if s != nil {
			t.Error("a refused open answers a stream")
		}
	}
}

func pushesArrive(t *testing.T, gw *scripted, l link.Gateway) {
	const n = 3000
	r, s, e := open(t, gw, l, "d")
	s.Credit(1 << 40)
	e.wait(t, "credit", func() bool { return e.credit > 0 })
	var want []protocol.Push
	for i := 1; i <= n; {
		var batch []protocol.Push
		for len(batch) < 1+i%7 && i <= n {
			batch = append(batch, pushOf(i))
			i++
		}
		want = append(want, batch...)
		e.push(i <= n, batch...)
	}
	r.wait("all pushes", func() bool { return len(r.pushes) >= n })
	same(t, "pushes", r.pushes, want)
	r.close(s)
	e.wait(t, "close", func() bool { return e.closed > 0 })
}

func noCredit(t *testing.T, gw *scripted, l link.Gateway) {
	r, s, e := open(t, gw, l, "d")
	for range 3 { // whatever the link does by itself has been done by then
		if _, err := l.Devices(background, route, "u"); err != nil {
			t.Fatal(err)
		}
	}
	e.wait(t, "no credit", func() bool { return e.credit == 0 })
	sum := 0
	for i := 1; i <= 100; i++ {
		s.Credit(i)
		sum += i
	}
	e.wait(t, "the credit given", func() bool { return e.credit >= sum })
	if e.credit != sum {
		t.Errorf("credit of %d arrived; %d was given", e.credit, sum)
	}
	r.close(s)
}

func streamCalls(t *testing.T, gw *scripted, l link.Gateway) {
	r, s, e := open(t, gw, l, "d")
	for i := 1; i <= 100; i++ {
		s.Ack(protocol.Seq(i), fmt.Sprint("k", i))
	}
	e.wait(t, "the last ack", func() bool { return len(e.acks) > 0 && e.acks[len(e.acks)-1] == ackCall{100, "k100"} })
	for i, a := range e.acks { // a link may join acks
		if a.cursor != fmt.Sprint("k", a.seq) || i > 0 && a.seq <= e.acks[i-1].seq {
			t.Errorf("acks arrive as %v", e.acks)
			break
		}
	}
	for _, a := range []ackCall{{0, "k7"}, {7, ""}} {
		s.Ack(a.seq, a.cursor)
		e.wait(t, "ack", func() bool { return e.acks[len(e.acks)-1] == a })
	}
	for i, c := range []*protocol.DeviceContext{fullContext(), {OS: "x"}, nil} {
		s.Refresh(c)
		e.wait(t, "refresh", func() bool { return len(e.contexts) == i+1 })
		same(t, "context", e.contexts[i], c)
	}
	s.Measured(4_000_000_000)
	e.wait(t, "measure", func() bool { return slices.Equal(e.roundTrip, []uint32{4_000_000_000}) })
	r.close(s)
	s.Close(protocol.ReasonGone) // once is enough, twice does no harm
	s.Ack(1, "k")
	s.Credit(1)
	e.wait(t, "close", func() bool { return e.closed > 0 })
}

func reentrant(t *testing.T, gw *scripted, l link.Gateway) {
	r := newRecorder(t)
	var s link.Stream
	ready := make(chan struct{})
	r.within = func(batch []protocol.Push) {
		<-ready
		last := batch[len(batch)-1]
		s.Ack(last.Seq, last.Cursor)
		s.Credit(1)
		if last.Seq >= 20 {
			s.Close(protocol.ReasonGone)
		}
	}
	s, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "d", Generation: r.generation}, r)
	if err != nil {
		t.Fatal(err)
	}
	close(ready)
	e := gw.stream("d")
	s.Credit(1)
	for i := 1; i <= 20; i++ {
		e.wait(t, "credit", func() bool { return e.credit >= i })
		e.push(false, pushOf(i))
		e.wait(t, "ack", func() bool { return len(e.acks) > 0 && e.acks[len(e.acks)-1].seq == protocol.Seq(i) || e.closed > 0 })
	}
	e.wait(t, "close", func() bool { return e.closed > 0 })
}

func endFollows(t *testing.T, gw *scripted, l link.Gateway) {
	r, s, e := open(t, gw, l, "d")
	s.Credit(1 << 30)
	e.wait(t, "credit", func() bool { return e.credit > 0 })
	for i := 1; i <= 200; i++ {
		e.push(i < 200, pushOf(i))
	}
	e.close(protocol.ReasonSuperseded, "a newer one: ü")
	r.wait("the end", func() bool { return r.over })
	if len(r.pushes) != 200 || r.reason != protocol.ReasonSuperseded || r.detail != "a newer one: ü" {
		t.Errorf("%d pushes, then %v %q", len(r.pushes), r.reason, r.detail)
	}
	s.Ack(3, "k") // too late: nothing happens
	s.Close(protocol.ReasonGone)
}

func everyReason(t *testing.T, gw *scripted, l link.Gateway) {
	for _, reason := range protocol.Reasons() {
		r, s, e := open(t, gw, l, "d")
		e.close(reason, "because "+reason.String())
		r.wait("the end", func() bool { return r.over })
		if r.reason != reason || r.detail != "because "+reason.String() {
			t.Errorf("closed by %v %q; want %v", r.reason, r.detail, reason)
		}
		s.Close(protocol.ReasonGone)
	}
}

func lostArrives(t *testing.T, gw *scripted, l link.Gateway) {
	for _, loss := range []link.Loss{{}, {Reason: protocol.ReasonRebalance, Below: 1<<62 + 1}, {Reason: protocol.ReasonUnavailable}, {Below: 1}} {
		r, s, e := open(t, gw, l, "d")
		s.Credit(1 << 30)
		e.wait(t, "credit", func() bool { return e.credit > 0 })
		e.push(false, pushOf(1))
		e.lose(loss)
		r.wait("the loss", func() bool { return r.over })
		if !slices.Equal(r.order, []string{"push", "lost"}) || r.loss != loss {
			t.Errorf("calls are %v, the loss is %+v; want %+v", r.order, r.loss, loss)
		}
		s.Close(protocol.ReasonGone)
	}
}

func everyCloseReason(t *testing.T, gw *scripted, l link.Gateway) {
	for _, reason := range append(protocol.Reasons(), protocol.ReasonNone) {
		_, s, e := open(t, gw, l, "d")
		s.Close(reason)
		e.wait(t, "close", func() bool { return e.closed > 0 })
		if e.reason != reason {
			t.Errorf("closed for %v; want %v", e.reason, reason)
		}
	}
}

func ackedKeepsPlace(t *testing.T, gw *scripted, l link.Gateway) {
	r, s, e := open(t, gw, l, "d")
	s.Credit(1 << 30)
	e.wait(t, "credit", func() bool { return e.credit > 0 })
	for i := 1; i <= 50; i++ {
		e.push(false, pushOf(i))
		e.acked(protocol.Seq(i))
	}
	r.wait("all calls", func() bool { return len(r.acked) > 0 && r.acked[len(r.acked)-1] == 50 && len(r.pushes) == 50 })
	if !slices.IsSorted(r.acked) || r.order[len(r.order)-1] != "acked" {
		t.Errorf("acked %v, in the order %v", r.acked, r.order)
	}
	r.close(s)
}

func nothingAfterClose(t *testing.T, gw *scripted, l link.Gateway) {
	for range 20 {
		r, s, e := open(t, gw, l, "d")
		s.Credit(1 << 30)
		e.wait(t, "credit", func() bool { return e.credit > 0 })
		var pushing sync.WaitGroup
		pushing.Go(func() {
			for i := 1; ; i++ {
				e.mu.Lock()
				closed := e.closed > 0
				e.mu.Unlock()
				if closed {
					return
				}
				e.push(true, pushOf(i))
			}
		})
		r.wait("pushes", func() bool { return len(r.pushes) > 10 })
		r.close(s)
		pushing.Wait()
	}
}

// endAfterMove: a stream that goes on at another owner is still told of its end, and of nothing else; one that has ended is not.
func endAfterMove(t *testing.T, gw *scripted, l link.Gateway) {
	for _, c := range []struct {
		close protocol.Reason
		want  int
	}{{protocol.ReasonNone, 1}, {protocol.ReasonGone, 0}} {
		r := newShared()
		s, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: "d"}, r)
		if err != nil {
			t.Fatal(err)
		}
		e := gw.stream("d")
		s.Close(c.close)
		e.wait(t, "close", func() bool { return e.closed == 1 })
		if c.close == protocol.ReasonNone {
			e.close(protocol.ReasonDisconnected, "because")
			r.wait(t, "the end", func() bool { return len(r.calls[0]) > 0 })
		}
		s.Close(protocol.ReasonGone)
		r.mu.Lock()
		if calls := r.calls[0]; len(calls) != c.want || c.want == 1 && calls[0] != "closed disconnected" {
			t.Errorf("closed for %q, calls are %v", c.close, calls)
		}
		r.mu.Unlock()
	}
}

func streamsDoNotMix(t *testing.T, gw *scripted, l link.Gateway) {
	const streams, each = 40, 100
	var all sync.WaitGroup
	for k := range streams {
		all.Go(func() {
			device := protocol.DeviceID(fmt.Sprint("d", k))
			r := newRecorder(t)
			s, _, err := l.Open(background, link.Open{Route: route, User: "u", Device: device, Generation: r.generation}, r)
			if err != nil {
				t.Error(err)
				return
			}
			e := gw.stream(device)
			s.Credit(1 + k)
			e.wait(t, "credit", func() bool { return e.credit == 1+k })
			for i := range each {
				e.push(false, pushOf(k*each+i+1))
			}
			r.wait("pushes", func() bool { return len(r.pushes) == each })
			for i, p := range r.pushes {
				if p.Seq != protocol.Seq(k*each+i+1) {
					t.Errorf("push %d of stream %d is %d", i, k, p.Seq)
					break
				}
			}
			s.Ack(protocol.Seq(k*each+each), "")
			e.wait(t, "its ack", func() bool { return len(e.acks) == 1 && e.acks[0].seq == protocol.Seq(k*each+each) })
			r.close(s)
			e.wait(t, "close", func() bool { return e.closed > 0 })
		})
	}
	all.Wait()
}

func largeMessages(t *testing.T, gw *scripted, l link.Gateway) {
	large := fullMessage("large")
	large.Payload = bytes.Repeat([]byte{'x'}, 1<<20)
	got := 0
	gw.publish = func(_ context.Context, batch []link.Publish) []link.Result {
		for _, p := range batch {
			got += len(p.Message.Payload)
		}
		return make([]link.Result, len(batch))
	}
	batch := make([]link.Publish, 4)
	for i := range batch {
		batch[i] = link.Publish{Route: route, User: "u", Message: large, TTLMS: 1}
	}
	if l.Publish(background, batch); got != 4<<20 {
		t.Errorf("%d bytes arrived", got)
	}
	r, s, e := open(t, gw, l, "d")
	s.Credit(1)
	e.wait(t, "credit", func() bool { return e.credit > 0 })
	e.push(false, protocol.Push{Seq: 1, Cursor: "k", Message: large})
	r.wait("the push", func() bool { return len(r.pushes) == 1 && len(r.pushes[0].Message.Payload) == 1<<20 })
	r.close(s)
}
