package gateway

import (
	"fmt"
	"slices"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

func TestOldestOfHighestPriorityIsNext(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		for i, p := range []protocol.Priority{low, medium, high, low, high, medium} {
			w.accept(fmt.Sprintf("%v%d", p, i), p)
		}
		w.wantWaiting("high2", "high4", "medium1", "medium5", "low0", "low3")
		d := w.open("d")
		d.got("high2", "high4", "medium1", "medium5", "low0", "low3")
		d.ackAll()
		w.wantWaiting()
	})
}

func TestHigherPriorityOvertakesWhatWaitsForCredit(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.attach("d")
		w.accept("l1", low)
		w.accept("l2", low)
		d.got() // none before credit
		d.stream.Credit(1)
		d.got("l1") // while any is left one more goes, however large
		w.accept("h1", high)
		d.got("l1")
		d.stream.Credit(plenty)
		d.got("l1", "h1", "l2")
	})
}

func TestBatchKeepsItsOrder(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		var batch []link.Publish
		for i := range 100 {
			batch = append(batch, w.message(fmt.Sprintf("m%d", i+1), medium))
		}
		for i, r := range w.publish(batch...) {
			if r.Status != link.StatusAccepted || r.Devices != 1 {
				t.Fatalf("result %d: %+v", i, r)
			}
		}
		d.got(ids("m", 1, 100)...)
	})
}

func TestReplayPrecedesLive(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		for _, id := range ids("m", 1, 600) { // more than one batch of pushes
			w.accept(id, medium)
		}
		d := w.attach("d", over(protocol.TransportSSE))
		d.on = func(batch []protocol.Push) {
			if len(d.ids()) == len(batch) { // a publish in the middle of the replay
				w.accept("live", medium)
			}
		}
		d.stream.Credit(plenty)
		d.got(append(ids("m", 1, 600), "live")...)
	})
}

// TestResumeAtEveryCut cuts a stream at every position and resumes: by cursor, and by seq and stream.
func TestResumeAtEveryCut(t *testing.T) {
	const n = 12
	for _, form := range []string{"cursor", "seq", "cursor after restart", "cursor after crash", "cursor after unloading"} {
		t.Run(form, func(t *testing.T) {
			for cut := range n + 1 {
				inSyncTest(t, nil, func(t *testing.T, w *fixture) { resumeAt(t, w, form, cut, n) })
			}
		})
	}
}

func resumeAt(t *testing.T, w *fixture, form string, cut, n int) {
	first := w.open("d")
	priorities := []protocol.Priority{low, high, medium}
	for i := range n / 2 { // pushed one by one, over the lanes in turn
		w.accept(fmt.Sprint("m", i), priorities[i%3])
	}
	first.stream.Close(protocol.ReasonGone)
	for i := n / 2; i < n; i++ { // and in the order of priority
		w.accept(fmt.Sprint("m", i), priorities[i%3])
	}
	second := w.open("d", at(first.last()))
	before := append(first.ids(), second.ids()...)
	if len(before) != n || !second.opened.Resumed {
		t.Fatalf("cut %d: %v pushed, resumed %v", cut, before, second.opened.Resumed)
	}
	cursor, seq := first.opened.Cursor, protocol.Seq(cut)
	if cut > 0 {
		all := append(slices.Clone(first.pushes), second.pushes...)
		cursor, seq = all[cut-1].Cursor, all[cut-1].Seq
	}
	second.close()
	switch form {
	case "cursor after restart":
		w.restart()
	case "cursor after crash":
		w.crash()
	case "cursor after unloading":
		w.unloadAll()
	}
	edit := at(cursor)
	if form == "seq" {
		edit = counted(seq, second.opened.Name)
	}
	third := w.open("d", edit)
	if !third.opened.Resumed {
		t.Fatalf("cut %d: not resumed", cut)
	}
	// What the second open acked stays acked, but in a crash before it was saved.
	want := slices.Clone(before[max(cut, n/2):])
	if form == "cursor after crash" {
		want = inOrder(before[cut:])
	}
	third.got(want...)
	if form != "cursor after crash" && third.opened.Seq != protocol.Seq(n) || third.opened.Seq < seq {
		t.Fatalf("cut %d: hello's seq is %d", cut, third.opened.Seq)
	}
	third.ackAll()
	w.wantWaiting()
}

// inOrder sorts what resumeAt published by priority, then age.
func inOrder(list []string) []string {
	lane := []int{2, 0, 1}
	number := func(id string) (n int) { fmt.Sscanf(id, "m%d", &n); return n }
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b string) int {
		x, y := number(a), number(b)
		return (lane[x%3]-lane[y%3])*1000 + x - y
	})
	return list
}

func TestNotResumedPushesEverythingUnacked(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		other := w.open("other")
		d := w.open("d")
		for _, id := range ids("m", 1, 4) {
			w.accept(id, medium)
		}
		d.ack(1)
		name := d.opened.Name
		bob := w.open("d", ofUser("bob"))
		w.accept("b1", medium, user("bob"))
		for what, edit := range map[string]func(*link.Open){
			"no cursor":          func(*link.Open) {},
			"another device's":   at(other.last()),
			"another user's":     at(bob.last()),
			"forged":             at("k3.1.1.0.0.x9"),
			"changed":            at(flip(d.last())),
			"a bare seq":         counted(2, ""),
			"an unknown stream":  counted(2, "s1.zz"),
			"beyond what was":    counted(99, name),
			"beyond the present": at(w.g.common.Sealer.Seal(alice, "d", protocol.Cursor{Seq: 9, At: protocol.Positions{1: {Epoch: w.epoch, Micros: 1 << 60}}})),
			"a later epoch's":    at(w.g.common.Sealer.Seal(alice, "d", protocol.Cursor{Seq: 9, At: protocol.Positions{1: {Epoch: w.epoch + 1, Micros: 1}}})),
		} {
			again := w.open("d", edit)
			if again.opened.Resumed {
				t.Errorf("%s: resumed", what)
			}
			again.got("m2", "m3", "m4")
			if what == "no cursor" {
				for _, p := range again.pushes {
					if !p.Redelivered {
						t.Errorf("push of %s again is not marked redelivered", p.Message.ID)
					}
				}
			}
		}
		for _, p := range append(other.pushes, d.pushes...) {
			if p.Redelivered {
				t.Errorf("first push of %s is marked redelivered", p.Message.ID)
			}
		}
	})
}

func flip(cursor string) string {
	b := []byte(cursor)
	if b[5] == 'A' {
		b[5] = 'B'
	} else {
		b[5] = 'A'
	}
	return string(b)
}

func TestCursorOlderThanLastAckGoesOnFromTheAck(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		for _, id := range ids("m", 1, 4) {
			w.accept(id, medium)
		}
		old := d.pushes[0].Cursor
		d.ack(3)
		again := w.open("d", at(old))
		if !again.opened.Resumed {
			t.Error("not resumed")
		}
		again.got("m4")
	})
}

// TestPollThatEndsDuringAPushLeavesAGapBeforeTheNext: what was being pushed as the poll was answered has used its number. SPEC 1.2.8, 2.11.3.
func TestPollThatEndsDuringAPushLeavesAGapBeforeTheNext(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		poll := w.open("d1", over(protocol.TransportPoll))
		w.accept("m1", medium)
		poll.on = func([]protocol.Push) { poll.stream.Close(protocol.ReasonNone) }
		w.accept("m2", medium)
		first := poll.pushes[0]
		next := w.open("d1", over(protocol.TransportPoll), at(first.Cursor))
		if p := next.pushes; first.Seq != 1 || next.opened.Seq != 2 || len(p) != 1 || p[0].Seq != 3 || p[0].Message.ID != "m2" {
			t.Fatalf("the next poll begins after %d with %+v; want m2 as push 3", next.opened.Seq, p)
		}
	})
}

func TestFirstStreamBeginsAtZeroAndSeqGoesOn(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		if d.opened.Seq != 0 || d.opened.Resumed || d.opened.Expired != 0 {
			t.Errorf("first hello is %+v", d.opened)
		}
		w.accept("m1", medium)
		w.accept("m2", medium)
		d.ackAll()
		d.close()
		w.restart()
		again := w.open("d", at(d.last()))
		if again.opened.Seq != 2 || !again.opened.Resumed {
			t.Errorf("second hello is %+v", again.opened)
		}
	})
}
