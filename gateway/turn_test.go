package gateway

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"ramen/gateway/mailbox"
	"ramen/link"
)

// prepared is a job with publishes to alice, of which between is called before the last is prepared. The caller has them written.
func prepared(w *fixture, ids []string, between func()) *job {
	w.t.Helper()
	j := w.g.newJob()
	for i, id := range ids {
		p := w.message(id, medium)
		b, err := w.g.admitPublish(context.Background(), &p)
		if err != nil {
			w.t.Fatal(err)
		}
		j.add(op{Op: mailbox.Op{Message: p.Message, TTLMS: p.TTLMS}, box: b, at: i})
	}
	if err := w.g.begin(j); err != nil {
		w.t.Fatal(err)
	}
	j.open = len(j.ops)
	for i := range j.ops {
		if i == len(j.ops)-1 {
			between()
		}
		j.prepare(&j.ops[i], w.g.instant())
	}
	return j
}

// written has a prepared job written, and answers what became of it.
func written(w *fixture, j *job) (results []link.Result) {
	j.write()
	w.g.end(j)
	for i := range j.ops {
		results = append(results, j.ops[i].result())
		w.g.release(j.ops[i].box)
	}
	j.free()
	return results
}

// TestTurnWhileAJobIsPrepared: the write that one message of a call waits for is answered before the next message of the call to the
// same user is prepared: both are written with the turn that the call then has.
func TestTurnWhileAJobIsPrepared(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		d := w.open("d")
		release := holdAppends(w, alice)
		go w.accept("m1", medium)
		synctest.Wait()
		for _, r := range written(w, prepared(w, []string{"m2", "m3"}, release)) {
			if r.Status != link.StatusAccepted {
				t.Errorf("result %+v", r)
			}
		}
		d.got("m1", "m2", "m3")
	})
}

// TestLostWhileAJobIsPrepared: the shard is lost between two messages of a call to one user: neither is accepted, and the counts of what
// went out of memory stand.
func TestLostWhileAJobIsPrepared(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		var ids []string
		for i := range 40 { // more than a map's first piece has room for
			ids = append(ids, fmt.Sprint("m", i))
		}
		before := w.g.common.Ledger.Memory.Load()
		j := prepared(w, ids, func() { w.g.Lose(w.route(alice).Shard, 0) })
		for _, r := range written(w, j) {
			if r.Status != link.StatusRejected {
				t.Errorf("result %+v", r)
			}
		}
		if after := w.g.common.Ledger.Memory.Load(); after != before {
			t.Errorf("%d bytes are counted, %d before", after, before)
		}
	})
}
