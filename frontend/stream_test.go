package frontend

import (
	"net/url"
	"testing"

	"ramen/protocol"
)

func TestHelloComesFirst(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		b.g.publish("u", "d", 3, `{"n":1}`)
		d := dial(b, asking("u", "d", "app", "rider", "label.city", "sf"))
		h := want(t, d, protocol.ServerHello).Hello
		if h.Resumed || h.Stream == "" || h.Seq != 0 || h.HeartbeatMS != 4000 || h.TimeoutMS != 7000 || h.TimeMS == 0 {
			t.Fatalf("hello is %+v", h)
		}
		p := wantPushes(t, d, 0, 3)
		if string(p.Message.Payload) != `{"n":1}` || p.Cursor == "" {
			t.Fatalf("push is %+v", p)
		}
		b.g.mu.Lock()
		c := b.g.opens[0].Context
		b.g.mu.Unlock()
		if c == nil || c.App != "rider" || c.Labels["city"] != "sf" {
			t.Fatalf("context is %+v", c)
		}
	})
}

func TestAcksReachTheGateway(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		b.g.publish("u", "d", 10, `1`)
		p := wantPushes(t, d, 0, 10)
		d.say(ackSeq(4))
		b.until("4 are acked", func() bool { return b.g.queueLocked("u", "d").acked == 4 })
		d.say(ackCursor(p.Cursor))
		b.until("10 are acked", func() bool { return b.g.queueLocked("u", "d").acked == 10 })
		d.say(ackSeq(3)) // below: nothing
		b.g.publish("u", "d", 1, `2`)
		wantPushes(t, d, 10, 1)
	})
}

func TestResumesAtCursor(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		b.g.publish("u", "d", 9, `1`)
		cursor := ""
		for at := protocol.Seq(0); at < 9; at++ { // cut at every position
			v := asking("u", "d")
			if cursor != "" {
				v.Set("cursor", cursor)
			}
			d := dial(b, v)
			h := want(t, d, protocol.ServerHello).Hello
			if h.Resumed != (at > 0) || h.Seq != at {
				t.Fatalf("hello is %+v after %d", h, at)
			}
			cursor = wantPushes(t, d, at, 1).Cursor
			d.close()
		}
	})
}

func TestNewestWins(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		first := dial(b, asking("u", "d"))
		want(t, first, protocol.ServerHello)
		second := dial(b, asking("u", "d"))
		want(t, second, protocol.ServerHello)
		wantEnd(t, first, protocol.ReasonSuperseded)
		b.g.publish("u", "d", 1, `1`)
		wantPushes(t, second, 0, 1)
	})
}

func TestGatewayEndsStream(t *testing.T) {
	for _, reason := range []protocol.Reason{protocol.ReasonDisconnected, protocol.ReasonAckTimeout, protocol.ReasonInvalidArgument} {
		t.Run(reason.String(), func(t *testing.T) {
			over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
				b := newBench(t, nil)
				d := dial(b, asking("u", "d"))
				want(t, d, protocol.ServerHello)
				b.g.close(reason, "the detail")
				if g := wantEnd(t, d, reason); g.Detail != "the detail" {
					t.Fatalf("detail is %q", g.Detail)
				}
			})
		})
	}
}

func TestLostGatewayKeepsTheSocket(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d", "app", "rider"))
		want(t, d, protocol.ServerHello)
		b.g.publish("u", "d", 7, `1`)
		wantPushes(t, d, 0, 7)
		d.say(ackSeq(3))
		b.until("3 are acked", func() bool { return b.g.queueLocked("u", "d").acked == 3 })
		b.g.lose()
		b.until("it is open again", func() bool { return len(b.g.opens) == 2 && b.g.streams == 1 })
		b.g.publish("u", "d", 2, `2`)
		wantPushes(t, d, 7, 2)

		b.g.mu.Lock()
		defer b.g.mu.Unlock()
		o := b.g.opens[1]
		if o.Number.IsZero() || o.Acked != b.g.queueLocked("u", "d").cursor(3) || len(o.Sent) != 4 || o.Sent[0].Seq != 4 || o.Seq != 7 ||
			o.Context == nil || o.Context.App != "rider" || o.Sent[0].Priority != protocol.PriorityHigh || o.Sent[0].Bytes != 1 {
			t.Fatalf("it was opened again with %+v", o)
		}
	})
}

func TestDeviceThatLeavesFreesItsStream(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		d.close()
		b.until("the stream is gone", func() bool { return b.g.streams == 0 })
	})
}
