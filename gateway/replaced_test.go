package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/gateway/mailbox"
	"ramen/gateway/mailbox/mailboxtest"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/store/storetest"
)

// refuseLazyWrites has the store refuse what is saved lazily, so that a crash loses it.
func (w *fixture) refuseLazyWrites() {
	w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
		if op.Kind == memory.OpForget || op.Kind == memory.OpSaveDevices && !op.Durable {
			return memory.Fault{Err: errors.New("scripted: nothing lazy is taken")}
		}
		return memory.Fault{}
	})
}

func TestFix14ReplacedMessageStaysGoneAfterKill(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.accept("a", low, key("k"))
		d.ackAll()
		w.accept("b", high, key("k"))
		w.crash()
		w.wantWaiting("b")
		w.open("d").got("b")
		w.accept("c", medium, key("k"))
		w.wantWaiting("c")
		w.open("d").got("c")
	})
}

// What left lazily is killed by whatever takes its successor's place, or takes that back: it is alone in the store then.
func TestFix14ReplacedStaysGoneWhateverBecomesOfItsSuccessor(t *testing.T) {
	for _, left := range []string{"acked", "expired"} {
		for _, then := range []string{"waits", "acked", "expired", "recalled", "replaced", "replaced and acked"} {
			t.Run(left+" then "+then, func(t *testing.T) {
				inSyncTest(t, nil, func(t *testing.T, w *fixture) {
					d := w.open("d")
					w.refuseLazyWrites()
					w.leaveLazily(d, left, "a", low)
					w.accept("b", high, key("k"), ttl(3*time.Second))
					want := []string{}
					switch then {
					case "waits":
						want = []string{"b"}
					case "acked":
						d.ackAll()
					case "expired":
						w.sleep(4 * time.Second)
					case "recalled":
						if ok, err := w.recall("b"); !ok || err != nil {
							t.Fatalf("recall: %v, %v", ok, err)
						}
					case "replaced":
						w.accept("c", medium, key("k"))
						want = []string{"c"}
					case "replaced and acked":
						w.accept("c", medium, key("k"))
						d.ackAll()
					}
					for range 2 {
						w.crash()
						switch then {
						case "acked", "replaced and acked": // it may come back itself: its ack was not saved
							if have := w.waiting(); len(have) > 1 || len(have) == 1 && have[0] == "a" {
								t.Fatalf("%v wait", have)
							}
							w.open("d").ackAll()
							w.sleep(2 * w.cfg.SaveInterval)
							w.wantWaiting()
						default:
							w.wantWaiting(want...)
						}
					}
				})
			})
		}
	}
}

// leaveLazily has a message of key k leave by an ack of d, or by its time.
func (w *fixture) leaveLazily(d *recorder, how, id string, p protocol.Priority) {
	w.t.Helper()
	if how == "acked" {
		w.accept(id, p, key("k"), ttl(time.Hour))
		d.ackAll()
	} else {
		w.accept(id, p, key("k"), ttl(time.Second))
		w.sleep(time.Second)
	}
	w.wantWaiting()
}

func TestFix14IndexOfKeysIsOfTheNewestAfterALoad(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) { // without devices
		w.refuseLazyWrites()
		w.accept("a", low, key("k"), ttl(time.Second))
		w.sleep(1500 * time.Millisecond)
		w.accept("x", high, key("k"))
		w.crash()
		w.accept("c", medium, key("k"))
		w.wantWaiting("c")
		w.crash()
		w.wantWaiting("c")
	})
}

func TestFix14DeviceWithItsCursorGetsNothingReplaced(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		w.refuseLazyWrites()
		w.accept("a", low, key("k"))
		d.ackAll()
		cursor := d.last()
		w.accept("b", high, key("k"))
		w.crash()
		w.accept("c", low, key("k"))
		d = w.open("d", at(cursor))
		if d.got("c"); !d.opened.Resumed {
			t.Error("not resumed")
		}
	})
}

// put appends an entry of key k to the store past the gateway, as an older one may have left it.
func (w *fixture) put(id string, p protocol.Priority, micros uint64) {
	w.t.Helper()
	m := w.message(id, p, key("k")).Message
	m.CreatedMS, m.ExpiresMS = time.Now().UnixMilli(), time.Now().Add(time.Hour).UnixMilli()
	at := w.route(alice)
	step := store.Append{Owner: store.Owner{Shard: at.Shard, Epoch: at.Epoch}, User: alice,
		Entries: []store.Entry{{Position: protocol.Position{Epoch: w.epoch, Micros: micros}, Message: m}}}
	if err := storetest.Append(context.Background(), w.store, []store.Append{step})[0]; err != nil {
		w.t.Fatal(err)
	}
}

// A store of before may have what was replaced. It goes with the load, and does not come back once its successor has gone.
func TestFix14ReplacedInTheStoreGoesWithTheLoad(t *testing.T) {
	for _, then := range []string{"acked", "recalled", "replaced"} {
		t.Run(then, func(t *testing.T) {
			inSyncTest(t, nil, func(t *testing.T, w *fixture) {
				w.put("a1", low, 1)
				w.put("a2", high, 2)
				w.put("b", medium, 3)
				w.refuseLazyWrites()
				w.wantWaiting("b")
				if l := &w.g.common.Ledger; l.Loaded.Load() != 3 || l.Ended[mailbox.Collapsed].Load() != 2 {
					t.Errorf("%d loaded, %d collapsed; want 3 and 2", l.Loaded.Load(), l.Ended[mailbox.Collapsed].Load())
				}
				w.check()
				want := []string{}
				switch then {
				case "acked":
					w.store.Script(nil)
					w.open("d").ackAll()
					w.sleep(2 * w.cfg.SaveInterval)
				case "recalled":
					if ok, err := w.recall("b"); !ok || err != nil {
						t.Fatalf("recall: %v, %v", ok, err)
					}
				case "replaced":
					w.accept("c", low, key("k"))
					want = []string{"c"}
				}
				w.crash()
				w.wantWaiting(want...)
			})
		})
	}
}

// A kill of unknown outcome is made sure, with what it carries, before anything else.
func TestFix14ReplacedStaysGoneThroughUnknownOutcomes(t *testing.T) {
	for _, lost := range []bool{false, true} {
		for _, then := range []string{"crash", "sure", "replaced"} {
			t.Run(fmt.Sprint(lost, then), func(t *testing.T) {
				inSyncTest(t, nil, func(t *testing.T, w *fixture) {
					d := w.open("d")
					w.accept("a", low, key("k"))
					d.ackAll()
					unsureScript(w, 1, lost)
					w.refuse(protocol.CodeUnavailable, "b", high, key("k"))
					w.refuseLazyWrites()
					want := []string{"b"}
					switch then {
					case "crash":
						if lost { // b never was: a's ack alone was lost
							want = []string{"a"}
						}
					case "sure":
						w.sleep(2 * time.Second)
					case "replaced":
						w.accept("c", medium, key("k"))
						want = []string{"c"}
					}
					w.crash()
					w.wantWaiting(want...)
				})
			})
		}
	}
}

func TestFix15TargetsOfDifferentWhereAreDifferent(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		var all []string
		for i, where := range mailboxtest.Wheres {
			id := fmt.Sprint("m", i)
			all = append(all, id)
			w.accept(id, medium, key("k"), func(p *link.Publish) { p.Where = where })
		}
		w.wantWaiting(all...)
		for i, where := range mailboxtest.Wheres {
			w.accept(all[i]+"'", medium, key("k"), func(p *link.Publish) { p.Where = where })
			all[i] += "'"
		}
		w.wantWaiting(all...)
		w.restart()
		w.wantWaiting(all...)
	})
}

func TestFix15MessageForNobodyReplacesNothing(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		w.accept("theirs", medium, key("k"), where("label.a", "b", "os", "ios"))
		w.accept("nobody's", medium, key("k"), where("label.a", "b\x01os\x00ios"))
		w.wantWaiting("theirs", "nobody's")
	})
}
