package gateway

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

func TestNewestStreamWins(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		first := w.open("d")
		w.accept("m1", medium)
		w.accept("m2", medium)
		first.ack(1)
		second := w.open("d", over(protocol.TransportSSE))
		first.ended(protocol.ReasonSuperseded)
		second.got("m2")
		first.stream.Ack(2, "") // too late: nothing happens
		first.stream.Credit(5)
		first.stream.Refresh(nil)
		w.accept("m3", medium)
		second.got("m2", "m3")
		w.wantWaiting("m2", "m3")
		first.stream.Close(protocol.ReasonGone)
		second.ended(protocol.ReasonNone)
	})
}

// TestGhostCannotSupersede: the order of first opening decides, whoever finds the new owner first.
func TestGhostCannotSupersede(t *testing.T) {
	for _, how := range []string{"restart", "crash", "take"} {
		for _, ghostFirst := range []bool{true, false} {
			t.Run(how, func(t *testing.T) {
				inSyncTest(t, nil, func(t *testing.T, w *fixture) {
					ghost := w.open("d")
					newer := w.open("d")
					switch how {
					case "restart":
						w.restart()
					case "crash":
						w.crash()
					case "take":
						w.take(w.epoch + 1)
					}
					if ghostFirst {
						g := w.open("d", reopens(ghost, 0))
						n := w.open("d", reopens(newer, 0))
						g.ended(protocol.ReasonSuperseded)
						n.ended(protocol.ReasonNone)
						return
					}
					n := w.open("d", reopens(newer, 0))
					if _, err := w.tryOpen("d", reopens(ghost, 0)); !errors.Is(err, link.ErrSuperseded) {
						t.Errorf("the ghost's open: %v; want ErrSuperseded", err)
					}
					n.ended(protocol.ReasonNone)
					fresh := w.open("d")
					n.ended(protocol.ReasonSuperseded)
					if _, err := w.tryOpen("d", reopens(newer, 0)); !errors.Is(err, link.ErrSuperseded) {
						t.Errorf("the loser's open: %v; want ErrSuperseded", err)
					}
					fresh.close()
					if _, err := w.tryOpen("d", reopens(newer, 0)); !errors.Is(err, link.ErrSuperseded) {
						t.Errorf("the loser's open after the winner's end: %v; want ErrSuperseded", err)
					}
				})
			})
		}
	}
}

// TestReopenGoesOnBehindWhatWasSent cuts the link at every position, with every number of acks.
func TestReopenGoesOnBehindWhatWasSent(t *testing.T) {
	const n = 6
	for _, how := range []string{"restart", "crash", "same"} {
		for sent := range n + 1 {
			for acked := range sent + 1 {
				inSyncTest(t, nil, func(t *testing.T, w *fixture) { reopenAt(t, w, how, n, sent, acked) })
			}
		}
	}
}

func reopenAt(t *testing.T, w *fixture, how string, n, sent, acked int) {
	first := w.open("d", window(n))
	priorities := []protocol.Priority{medium, low, high}
	var all []string
	for i := range n {
		id := string(rune('a' + i))
		w.accept(id, priorities[i%3])
		all = append(all, id)
	}
	first.got(all...)
	first.pushes = first.pushes[:sent] // what the link still carried is lost
	switch how {
	case "restart":
		w.restart()
	case "crash":
		w.crash()
	}
	again := w.open("d", reopens(first, protocol.Seq(acked)), window(n))
	if again.opened.Seq != protocol.Seq(sent) || !again.opened.Resumed || again.opened.Number != first.opened.Number || again.opened.Name != first.opened.Name {
		t.Fatalf("%s, %d sent, %d acked: %+v", how, sent, acked, again.opened)
	}
	if first.over && !first.lost {
		t.Fatalf("%s: the old end was told %v", how, first.reason)
	}
	rest := slices.Clone(again.ids())
	if union := append(first.ids(), rest...); len(union) != n {
		t.Fatalf("%s, %d sent, %d acked: pushed %v", how, sent, acked, union)
	}
	again.got(rest...)
	w.accept("z", low)
	if acked > 0 {
		again.got(append(rest, "z")...) // room in the window
	} else {
		again.got(rest...) // what was sent is in the window
	}
	// What was sent is not acked: the next stream is pushed it again.
	if len(w.waiting()) != n+1-acked {
		t.Fatalf("%s, %d sent, %d acked: %v wait", how, sent, acked, w.waiting())
	}
	again.ack(protocol.Seq(n))
	if got := len(w.waiting()); got > 1 {
		t.Fatalf("%s: after the ack of all %v wait", how, w.waiting())
	}
	again.ended(protocol.ReasonNone)
}

func TestReopenIsToldOfAcksBeside(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		for _, id := range ids("m", 1, 4) {
			w.accept(id, medium)
		}
		w.restart()
		if err := w.ackBeside("d", byCursor(d.pushes[1].Cursor)); err != nil {
			t.Fatal(err)
		}
		again := w.open("d", reopens(d, 0))
		again.got()
		if !slices.Equal(again.acked, []protocol.Seq{2}) {
			t.Errorf("told acked %v; want 2", again.acked)
		}
		again.ack(4)
		w.wantWaiting()
	})
}

func TestReopenWithForeignCursorsPushesAgain(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		w.accept("m2", medium)
		other := newFixture(t, nil) // a store that was wiped
		defer other.stop()
		other.open("d").close()
		other.accept("n1", medium)
		again := other.open("d", reopens(d, 0))
		again.got("n1")
		again.ack(1)
		other.wantWaiting("n1")
		again.ack(3)
		other.wantWaiting()
	})
}

func TestReopenIsNoHello(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium, ttl(time.Second))
		w.sleep(3 * time.Second)
		again := w.open("d", reopens(d, 0))
		if again.opened.Expired != 0 {
			t.Errorf("a re-open is told of %d losses", again.opened.Expired)
		}
		if d.over {
			t.Error("the old end of the same socket was told an end")
		}
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpSaveDevices {
				return memory.Fault{Err: errors.New("scripted")}
			}
			return memory.Fault{}
		})
		w.open("d", reopens(again, 0))
		w.store.Script(nil)
		if n := w.open("d").opened.Expired; n != 1 {
			t.Errorf("hello says %d expired; want 1", n)
		}
	})
}

func TestTakingAgainLosesStreams(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		old := w.epoch
		w.take(old + 1)
		if !d.lost {
			t.Error("the stream was not told that it is lost")
		}
		r := w.message("m2", medium)
		r.Epoch = old
		if res := w.publish(r)[0]; !errors.Is(res.Err, link.ErrNotOwner) {
			t.Errorf("publish at the old epoch: %+v", res)
		}
		w.open("d").got("m1")
	})
}

func TestReleaseSavesAndLosesStreams(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("m1", medium)
		w.accept("m2", medium)
		d.ack(1)
		if err := w.g.Release(context.Background(), []protocol.ShardID{0, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.tryOpen("d"); !d.lost || !errors.Is(err, link.ErrNotOwner) {
			t.Errorf("lost %v, open %v", d.lost, err)
		}
		w.check()
		w.crash()
		w.open("d").got("m2")
	})
}

// TestFencedShardIsCleared: another owner has taken the shard.
func TestFencedShardIsCleared(t *testing.T) {
	for what, touch := range map[string]func(w *fixture) error{
		"publish": func(w *fixture) error { return w.publish(w.message("m2", medium))[0].Err },
		"load": func(w *fixture) error {
			return w.publish(w.message("m2", medium, user("alicd"+string(rune('e'+4)))))[0].Err
		},
		"save": func(w *fixture) error { w.sleep(2 * w.cfg.SaveInterval); return link.ErrNotOwner },
		"new device": func(w *fixture) error {
			_, err := w.tryOpen("e")
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, w *fixture) {
				d, b := w.open("d"), w.open("d", ofUser("bob"))
				w.accept("m1", medium)
				shard := w.route(alice).Shard
				if shard == w.route("bob").Shard {
					t.Fatal("bob is in alice's shard")
				}
				d.ack(1)
				other := w.disk.Open()
				if err := errors.Join(other.Claim(context.Background(), []protocol.ShardID{shard}, w.epoch+1, "test")...); err != nil {
					t.Fatal(err)
				}
				if err := touch(w); !errors.Is(err, link.ErrNotOwner) {
					t.Errorf("%s: %v; want ErrNotOwner", what, err)
				}
				w.sleep(2 * time.Second)
				if !d.lost || b.over {
					t.Errorf("alice's stream lost %v, bob's over %v", d.lost, b.over)
				}
				w.accept("b1", medium, user("bob"))
				b.got("b1")
				b.ackAll()
				w.sleep(3 * time.Second)
				kept, err := other.Load(context.Background(), store.Owner{Shard: w.route("bob").Shard, Epoch: w.epoch}, "bob")
				if err != nil || kept.Devices[0].Acked.Seq != 1 {
					t.Errorf("bob's device is not saved: %+v, %v", kept.Devices, err)
				}
				w.check()
			})
		})
	}
}

func TestRatesAreLimited(t *testing.T) {
	edit := func(c *Config) {
		c.OpensPerSecond, c.OpensBurst, c.PublishesPerSecond, c.PublishesBurst = 1, 3, 2, 4
	}
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		var d *recorder
		for range 3 {
			d = w.open("d")
		}
		_, err := w.tryOpen("d")
		wantCode(t, err, protocol.CodeResourceExhausted)
		var e *protocol.Error
		if errors.As(err, &e); e.RetryAfter <= 0 || e.RetryAfter > time.Second {
			t.Errorf("retry after %v", e.RetryAfter)
		}
		w.open("d", ofUser("bob"))
		d = w.open("d", reopens(d, 0)) // a re-open is not the device's doing
		d.ended(protocol.ReasonNone)
		for _, id := range ids("m", 1, 4) {
			w.accept(id, medium)
		}
		w.refuse(protocol.CodeResourceExhausted, "m5", medium)
		w.accept("b", medium, user("bob"))
		w.sleep(time.Second)
		w.accept("m5", medium)
		w.accept("m6", medium)
		w.refuse(protocol.CodeResourceExhausted, "m7", medium)
		w.open("d")
	})
}
