package stream

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	dto "github.com/prometheus/client_model/go"

	"ramen/frontend/admission"
	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/topologytest"
)

// ownerOf opens streams at the epoch that the view has, and writes down what it was asked.
type ownerOf struct {
	*topologytest.Settable
	before func() // called before the answer

	mu    sync.Mutex
	opens []link.Open
	links []*ledgerLink
}

func (o *ownerOf) Open(_ context.Context, _ time.Duration, q link.Open, _ link.Receiver) (link.Stream, link.Opened, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_, s := o.View().Owner(q.User)
	lk := &ledgerLink{}
	o.opens, o.links = append(o.opens, q), append(o.links, lk)
	if o.before != nil {
		o.before()
	}
	return lk, link.Opened{Number: q.Number, Seq: q.Seq, Epoch: s.Epoch}, nil
}

// inShards runs test with a set whose streams follow a topology of two shards of member a, at epoch 1.
func inShards(t *testing.T, change func(c *Config), test func(o *ownerOf, open func(user protocol.UserID) (*Stream, *tape))) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Default()
		if change != nil {
			change(&cfg)
		}
		o := &ownerOf{Settable: topologytest.NewSettable(2, "a", "b")}
		o.Move("a", o.All()...)
		set, err := NewSet(cfg, Deps{Opener: o, Owners: o, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		admit := admission.New(admission.Limits{})
		test(o, func(user protocol.UserID) (*Stream, *tape) {
			x, out := &Stream{}, &tape{clock: set.clock}
			permit, _ := admit.Admit("")
			r := &Request{User: user, Device: "d", HeartbeatMS: 4000}
			x.Init(set, r, protocol.TransportSSE, out)
			opened, err := x.Open(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			x.Start(opened, permit, func(*protocol.Hello) (WriteResult, error) { return WriteResult{10, 0}, nil })
			return x, out
		})
		synctest.Wait()
		if err := set.Check(); err != nil {
			t.Error(err)
		}
	})
}

// A gateway that gives a shard up says from which epoch on it is served: until a view has an owner of that, nobody is asked.
func TestALostStreamAsksNobodyBelow(t *testing.T) {
	inShards(t, nil, func(o *ownerOf, open func(protocol.UserID) (*Stream, *tape)) {
		x, _ := open("u")
		x.Lost(0, link.Loss{Reason: protocol.ReasonRebalance, Below: 2})
		pass(5 * time.Second)
		if len(o.opens) != 1 {
			t.Errorf("it was asked for %d times while nobody served it", len(o.opens))
		}
		o.Move("b", o.All()...)
		pass(0)
		if len(o.opens) != 2 || o.opens[1].Epoch != 2 || o.opens[1].Generation != 1 || x.state != live {
			t.Errorf("state %d after %d opens, the last %+v", x.state, len(o.opens), o.opens[len(o.opens)-1])
		}
		x.Finish(protocol.ReasonGone, "")
	})
}

// Streams whose shard nobody serves wait in it: they take no worker from those that have an owner.
func TestStreamsWithoutAnOwnerHoldUpNoOther(t *testing.T) {
	inShards(t, func(c *Config) { c.Reopens = 1 }, func(o *ownerOf, open func(protocol.UserID) (*Stream, *tape)) {
		users := map[protocol.ShardID]protocol.UserID{}
		for _, u := range []protocol.UserID{"u1", "u2", "u3", "u4", "u5", "u6"} {
			users[topology.ShardOf(u, 2)] = u
		}
		waits, _ := open(users[0])
		moves, _ := open(users[1])
		o.Free(0)
		pass(time.Second)
		o.Move("b", 1)
		pass(0)
		if waits.state != detached || moves.state != live || moves.opens != 1 {
			t.Errorf("states %d and %d, %d opens", waits.state, moves.state, moves.opens)
		}
		o.Move("a", 0)
		pass(0)
		if waits.state != live {
			t.Errorf("state %d once the shard has an owner", waits.state)
		}
		waits.Finish(protocol.ReasonGone, "")
		moves.Finish(protocol.ReasonGone, "")
	})
}

// A stream whose shard nobody serves ends after Config.DetachedTime, one whose connection ends before leaves nothing behind.
func TestAWaitingStreamEndsInItsTime(t *testing.T) {
	inShards(t, nil, func(o *ownerOf, open func(protocol.UserID) (*Stream, *tape)) {
		x, out := open("u")
		gone, _ := open("v")
		o.Free(o.All()...)
		pass(time.Second)
		gone.OnGone()
		pass(28 * time.Second)
		x.locked(func() {
			if x.state != detached {
				t.Errorf("it is in state %d before its time", x.state)
			}
		})
		pass(2 * time.Second)
		x.locked(func() {
			if x.state != closed || out.ended != protocol.ReasonUnavailable || len(out.away) != 1 {
				t.Errorf("state %d, ended by %q, goaways %v", x.state, out.ended, out.away)
			}
		})
		for i := range x.set.shards.of {
			if n := len(x.set.shards.of[i].waiting); n != 0 {
				t.Errorf("%d streams that have ended wait in shard %d", n, i)
			}
		}
	})
}

// A view that comes while a stream is being opened, first or again, moves it too: its old gateway is let go.
func TestAViewThatComesDuringAnOpenMovesTheStream(t *testing.T) {
	inShards(t, nil, func(o *ownerOf, open func(protocol.UserID) (*Stream, *tape)) {
		moves := 0
		o.before = func() {
			if moves++; moves <= 2 {
				o.Move([]topology.MemberID{"a", "b"}[moves%2], o.All()...) // the answer has the epoch before
				time.Sleep(time.Millisecond)                               // the view is followed before the answer comes
			}
		}
		x, _ := open("u")
		pass(100 * time.Millisecond)
		if x.state != live || len(o.opens) != 3 || o.links[0].closed != 1 || o.links[1].closed != 1 || o.links[2].closed != 0 {
			t.Errorf("state %d after %d opens", x.state, len(o.opens))
		}
		if x.opens != 2 || o.opens[2].Generation != 2 {
			t.Errorf("generation %d, asked with %d", x.opens, o.opens[2].Generation)
		}
		x.Finish(protocol.ReasonGone, "")
	})
}

// A newer view may come between a gateway's word that a stream has ended and the stream's end.
func TestANewerViewWhileTheGatewayEndsAStream(t *testing.T) {
	inShards(t, nil, func(o *ownerOf, open func(protocol.UserID) (*Stream, *tape)) {
		x, out := open("u")
		x.mu.Lock()
		x.link = nil // as Closed leaves it
		x.mu.Unlock()
		o.Move("b", o.All()...)
		pass(0)
		x.Finish(protocol.ReasonDisconnected, "")
		x.locked(func() {
			if x.state != closed || out.ended != protocol.ReasonDisconnected {
				t.Errorf("state %d, ended with %v", x.state, out.ended)
			}
		})
		if n := len(o.opens); n != 1 {
			t.Errorf("opened %d times: a stream that has ended needs no owner", n)
		}
	})
}

// What a gateway ended for good while a newer view took the stream from it has ended: whether its word comes while nobody serves the shard,
// while the next owner is asked, or after that has answered.
func TestAnEndThatCrossesANewerViewCounts(t *testing.T) {
	for _, reason := range []protocol.Reason{protocol.ReasonDisconnected, protocol.ReasonSuperseded, protocol.ReasonInvalidArgument} {
		for _, when := range []string{"waiting", "asking", "live"} {
			t.Run(reason.String()+"/"+when, func(t *testing.T) {
				inShards(t, nil, func(o *ownerOf, open func(protocol.UserID) (*Stream, *tape)) {
					x, out := open("u")
					switch when {
					case "waiting":
						o.Free(o.All()...)
					case "asking":
						o.before = func() { time.Sleep(time.Second) }
						fallthrough
					case "live":
						o.Move("b", o.All()...)
					}
					pass(0)
					x.Closed(0, reason, "because")
					pass(2 * time.Second)
					x.locked(func() {
						if x.state != closed || out.ended != reason || len(out.away) != 1 || out.away[0].Detail != "because" {
							t.Errorf("state %d, ended by %q, goaways %v", x.state, out.ended, out.away)
						}
					})
					for i, lk := range o.links {
						if lk.closed != 1 {
							t.Errorf("link %d of %d was closed %d times", i, len(o.links), lk.closed)
						}
					}
				})
			})
		}
	}
}

// Each live stream that loses its gateway is counted once, by the reason that is known of it.
func TestDetachedStreamsAreCountedByReason(t *testing.T) {
	inShards(t, nil, func(o *ownerOf, open func(protocol.UserID) (*Stream, *tape)) {
		x, _ := open("u")
		for _, reason := range []protocol.Reason{protocol.ReasonRebalance, protocol.ReasonDrain, protocol.ReasonUnavailable, protocol.ReasonNone, protocol.ReasonTooBig} {
			x.Lost(link.Generation(x.opens), link.Loss{Reason: reason})
			x.Lost(link.Generation(x.opens), link.Loss{Reason: reason}) // while it looks for its owner
			pass(0)
		}
		o.Move("b", o.All()...)
		pass(0)
		want := map[string]float64{"rebalance": 1, "drain": 1, "unavailable": 1, "unknown": 2, "view": 1}
		for cause := detachedByView; cause < detachCauses; cause++ {
			var m dto.Metric
			if err := x.set.metrics.detached[cause].Write(&m); err != nil {
				t.Fatal(err)
			}
			label := detachLabels[cause]
			if n := m.GetCounter().GetValue(); n != want[label] || n == 0 {
				t.Errorf("%v streams detached for %q; want %v", n, label, want[label])
			}
		}
		if x.state != live {
			t.Errorf("state %d", x.state)
		}
		x.Finish(protocol.ReasonGone, "")
	})
}

// hook is called with a line of the log.
type hook struct {
	slog.Handler
	line string
	call func()
}

func (h hook) Enabled(context.Context, slog.Level) bool { return true }
func (h hook) Handle(_ context.Context, r slog.Record) error {
	if r.Message == h.line {
		h.call()
	}
	return nil
}

// A stream whose gateway was lost while it was opened is detached by a newer view before Start comes to that: the loss is an old one,
// and the re-open that is under way counts.
func TestAnEarlyLossIsNotThatOfTheReopen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &ownerOf{Settable: topologytest.NewSettable(2, "a", "b")}
		o.Move("a", o.All()...)
		log := slog.New(hook{slog.DiscardHandler, "frontend: stream opened", func() {
			o.Move("b", o.All()...)
			synctest.Wait()
		}})
		set, err := NewSet(Default(), Deps{Opener: o, Owners: o, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		permit, _ := admission.New(admission.Limits{}).Admit("")
		x, r := &Stream{}, &Request{User: "u", Device: "d", HeartbeatMS: 4000}
		x.Init(set, r, protocol.TransportSSE, &tape{clock: set.clock})
		opened, err := x.Open(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		o.before = func() { time.Sleep(time.Second) }
		x.Lost(0, link.Loss{Reason: protocol.ReasonRebalance})
		x.Start(opened, permit, func(*protocol.Hello) (WriteResult, error) { return WriteResult{10, 0}, nil })
		pass(5 * time.Second)
		x.locked(func() {
			if x.state != live || len(o.opens) != 2 {
				t.Errorf("state %d after %d opens; a link that nobody closed is left behind", x.state, len(o.opens))
			}
		})
		x.OnGone()
	})
}
