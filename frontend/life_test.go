package frontend

import (
	"context"
	"errors"
	"io"
	"net/url"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

func TestDrainedStreamIsPushedToUntilItEnds(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, func(c *Config, _ *Deps) { c.DrainTime = 400 * time.Millisecond })
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		drained := make(chan error, 1)
		go func() { drained <- b.s.Drain(t.Context()) }()
		g := want(t, d, protocol.ServerGoAway).GoAway
		if g.Reason != protocol.ReasonDrain || g.ReconnectMS == 0 || g.ReconnectMS > 400 {
			t.Fatalf("goaway is %+v", g)
		}
		b.g.publish("u", "d", 3, `1`)
		wantPushes(t, d, 0, 3)
		wantOver(t, d, protocol.ReasonDrain)
		if err := <-drained; err != nil {
			t.Fatal(err)
		}
	})
}

func TestHeartbeatsComeOnEveryTransport(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d", "heartbeat_ms", "1000"))
		if h := want(t, d, protocol.ServerHello).Hello; h.HeartbeatMS != 1000 || h.TimeoutMS != 1750 {
			t.Fatalf("hello is %+v", h)
		}
		for range 2 {
			if f, err := within(t, d); err != nil || f.Kind != protocol.ServerHeartbeat {
				t.Fatalf("%+v %v came, not a heartbeat", f, err)
			} else if g, is := d.(*rpc); is {
				g.say(&protocol.DeviceFrame{Kind: protocol.FrameHeartbeat, TimeMS: f.TimeMS})
			}
		}
		if _, is := d.(*events); !is {
			b.until("the round trip was measured", func() bool { return len(b.g.queueLocked("u", "d").rtts) > 0 })
		}
	})
}

func TestVisibleHeartbeatsOnRequest(t *testing.T) {
	b := newBench(t, nil)
	e := dialSSE(b, asking("u", "d", "heartbeat_ms", "1000", "heartbeat", "event")).(*events)
	want(t, e, protocol.ServerHello)
	e.raw = nil
	if _, err := within(t, e); err != nil || string(e.raw) != "event: heartbeat\ndata: {}\n\n" {
		t.Fatalf("%q came, %v", e.raw, err)
	}
}

func TestRefreshMovesTheExpiry(t *testing.T) {
	over(t, true, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		tk := someTokens()
		c := tk["u"]
		c.Expires = time.Now().Add(1200 * time.Millisecond)
		tk["short"] = c
		b := newBench(t, func(_ *Config, d *Deps) { d.Tokens = tk })
		v := url.Values{"device": {"d"}, "token": {"short"}}
		kept, left := dial(b, v), dial(b, url.Values{"device": {"e"}, "token": {"short"}})
		want(t, kept, protocol.ServerHello)
		want(t, left, protocol.ServerHello)
		kept.say(&protocol.DeviceFrame{Kind: protocol.FrameRefresh, Token: "u", Context: &protocol.DeviceContext{App: "new"}})
		b.until("the context is new", func() bool { c := b.g.queueLocked("u", "d").context; return c != nil && c.App == "new" })
		wantEnd(t, left, protocol.ReasonUnauthenticated)
		b.g.publish("u", "d", 1, `1`)
		wantPushes(t, kept, 0, 1)
	})
}

func TestBadRefreshEndsTheStream(t *testing.T) {
	for token, reason := range map[string]protocol.Reason{
		"bad": protocol.ReasonUnauthenticated, "stale": protocol.ReasonUnauthenticated,
		"other": protocol.ReasonPermissionDenied, "u/e": protocol.ReasonPermissionDenied,
	} {
		over(t, true, func(t *testing.T, dial func(b *bench, v url.Values) device) {
			b := newBench(t, func(_ *Config, d *Deps) { d.Tokens = someTokens() })
			d := dial(b, url.Values{"device": {"d"}, "token": {"u"}})
			want(t, d, protocol.ServerHello)
			d.say(&protocol.DeviceFrame{Kind: protocol.FrameRefresh, Token: token})
			wantEnd(t, d, reason)
		})
	}
}

func TestRefreshTokenIsIgnoredWithoutAuthentication(t *testing.T) {
	over(t, true, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		d.say(&protocol.DeviceFrame{Kind: protocol.FrameRefresh, Token: "anything"})
		b.g.publish("u", "d", 1, `1`)
		wantPushes(t, d, 0, 1)
	})
}

func TestAckBeyondThePushesEndsTheStream(t *testing.T) {
	over(t, true, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		b.g.publish("u", "d", 2, `1`)
		wantPushes(t, d, 0, 2)
		d.say(ackSeq(3))
		wantEnd(t, d, protocol.ReasonInvalidArgument)
		b.until("it is gone", func() bool { return b.g.streams == 0 })
		b.g.mu.Lock()
		defer b.g.mu.Unlock()
		if got := b.g.queueLocked("u", "d").acked; got != 0 {
			t.Fatalf("acked up to %d", got)
		}
	})
}

func TestUnknownCursorIsTheGatewaysToJudge(t *testing.T) {
	over(t, true, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		d.say(ackCursor("somebody-elses"))
		wantEnd(t, d, protocol.ReasonInvalidArgument)
	})
}

func TestWindowReachesTheGateway(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d", "window", "3"))
		want(t, d, protocol.ServerHello)
		b.g.publish("u", "d", 5, `1`)
		wantPushes(t, d, 0, 3)
		d.say(ackSeq(1))
		wantPushes(t, d, 3, 1)
		big := dial(b, asking("u", "e", "window", "999999"))
		want(t, big, protocol.ServerHello)
		b.g.mu.Lock()
		defer b.g.mu.Unlock()
		if a, z := b.g.opens[0].Window, b.g.opens[1].Window; a != 3 || z != 0 {
			t.Fatalf("windows are %d and %d", a, z)
		}
	})
}

func TestWhereItStandsReachesTheGateway(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		want(t, dial(b, asking("u", "d", "seq", "7", "stream", "s1")), protocol.ServerHello)
		want(t, dial(b, asking("u", "d", "seq", "7")), protocol.ServerHello)
		want(t, dial(b, asking("u", "d", "seq", "7", "stream", "s1", "cursor", "k1")), protocol.ServerHello)
		b.g.mu.Lock()
		defer b.g.mu.Unlock()
		first, bare, both := b.g.opens[0], b.g.opens[1], b.g.opens[2]
		if !first.HasSeq || first.Seq != 7 || first.Name != "s1" || !bare.HasSeq || bare.Name != "" || both.Cursor != "k1" {
			t.Fatalf("opened with %+v, %+v, %+v", first, bare, both)
		}
	})
}

func TestLastEventIDWins(t *testing.T) {
	b := newBench(t, nil)
	c := dialTCP(t, b)
	dialRaw(t, c, "GET /ramen/receive?user=u&device=d&cursor=old HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: new\r\n\r\n")
	b.g.mu.Lock()
	defer b.g.mu.Unlock()
	if got := b.g.opens[0].Cursor; got != "new" {
		t.Fatalf("cursor is %q", got)
	}
}

// What a device acked while nobody owned its shard is not forgotten.
func TestAckWhileDetachedGoesWithTheReopen(t *testing.T) {
	over(t, true, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		b.g.publish("u", "d", 6, `1`)
		wantPushes(t, d, 0, 6)
		var away bool
		b.g.mu.Lock()
		away = true
		b.g.openErr = func(link.Open) error {
			if away {
				return protocol.Errorf(protocol.CodeUnavailable, "no owner yet")
			}
			return nil
		}
		b.g.mu.Unlock()
		b.g.lose()
		b.until("an open failed", func() bool { return len(b.g.opens) >= 2 })
		d.say(ackSeq(4))
		b.until("the ack is in an open", func() bool { return b.g.opens[len(b.g.opens)-1].Acked == b.g.queueLocked("u", "d").cursor(4) })
		b.g.mu.Lock()
		away = false
		b.g.mu.Unlock()
		b.until("it is open again", func() bool { return b.g.streams == 1 })
		b.g.publish("u", "d", 1, `2`)
		wantPushes(t, d, 6, 1)
	})
}

func TestReopenEndsWhereItIsOfNoUse(t *testing.T) {
	for _, c := range []struct {
		err    error
		reason protocol.Reason
	}{
		{link.ErrSuperseded, protocol.ReasonSuperseded},
		{protocol.Errorf(protocol.CodeResourceExhausted, "full"), protocol.ReasonResourceExhausted},
		{protocol.Errorf(protocol.CodeUnavailable, "for ever"), protocol.ReasonUnavailable},
	} {
		over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
			b := newBench(t, func(cfg *Config, _ *Deps) { cfg.DetachedTime = 600 * time.Millisecond })
			d := dial(b, asking("u", "d"))
			want(t, d, protocol.ServerHello)
			b.g.mu.Lock()
			b.g.openErr = func(link.Open) error { return c.err }
			b.g.mu.Unlock()
			b.g.lose()
			wantEnd(t, d, c.reason)
		})
	}
}

// A new owner that stands elsewhere cannot go on with the seqs that the device was told.
func TestReopenElsewhereEndsTheStream(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		b.g.publish("u", "d", 4, `1`)
		wantPushes(t, d, 0, 4)
		d.say(ackSeq(4))
		b.until("all is acked", func() bool { return b.g.queueLocked("u", "d").acked == 4 })
		b.g.mu.Lock()
		*b.g.queueLocked("u", "d") = queue{name: "wiped", stream: b.g.queueLocked("u", "d").stream}
		b.g.mu.Unlock()
		b.g.lose()
		wantEnd(t, d, protocol.ReasonUnavailable)
	})
}

func TestOwnerMayEndOrLoseAStreamWhileItOpens(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		r := &hasty{gateway: newGateway(), do: func(r link.Receiver) { r.Closed(0, protocol.ReasonSuperseded, "") }}
		b := newBench(t, func(_ *Config, d *Deps) { d.Router = r })
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		wantEnd(t, d, protocol.ReasonSuperseded)

		r = &hasty{gateway: newGateway()}
		r.do = func(link.Receiver) { r.lose() }
		b = newBench(t, func(_ *Config, d *Deps) { d.Router = r })
		d = dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		if err := r.until("it is open again", func() bool { return len(r.opens) == 2 }); err != nil {
			t.Fatal(err)
		}
		r.publish("u", "d", 1, `1`)
		wantPushes(t, d, 0, 1)
	})
}

// hasty calls its receiver before the first Open has returned.
type hasty struct {
	*gateway
	do   func(r link.Receiver)
	done bool
}

func (h *hasty) Open(ctx context.Context, limit time.Duration, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	s, opened, err := h.gateway.Open(ctx, limit, o, r)
	if !h.done {
		h.done = true
		h.do(r)
	}
	return s, opened, err
}

func TestBurstBeyondTheCreditArrivesWhole(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, nil)
		payload := make([]byte, 16<<10)
		for i := range payload {
			payload[i] = '7'
		}
		b.g.publish("u", "d", 200, string(payload)) // 3 MiB
		d := dial(b, asking("u", "d"))
		want(t, d, protocol.ServerHello)
		for at := protocol.Seq(0); at < 200; at += 50 {
			p := wantPushes(t, d, at, 50)
			d.say(ackSeq(p.Seq))
		}
	})
}

func TestCloseEndsEveryStream(t *testing.T) {
	b := newBench(t, nil)
	var all []device
	for _, d := range dialers {
		x := d.dial(b, asking("u", d.name))
		want(t, x, protocol.ServerHello)
		all = append(all, x)
	}
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		f, err := within(t, d)
		if err == nil && f.Kind == protocol.ServerGoAway {
			_, err = within(t, d)
		}
		if err == nil {
			t.Fatalf("%T: %+v came instead of the end", d, f)
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			t.Logf("%T was cut: %v", d, err)
		}
	}
}
