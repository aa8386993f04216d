package gateway

import (
	"testing"
	"time"
)

// TestUseCountsWhileTheSweeperHoldsAMailbox: it leaves memory mailbox_idle after its last use, whoever gives the last pin back.
func TestUseCountsWhileTheSweeperHoldsAMailbox(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		b, err := w.g.acquire(t.Context(), w.route("u"), "u")
		if err != nil {
			t.Fatal(err)
		}
		swept := b.shard.pinAll()
		w.g.release(b)
		for _, b := range swept {
			w.g.releaseSwept(b)
		}
		loaded := func() bool {
			b.shard.mu.Lock()
			defer b.shard.mu.Unlock()
			return b.shard.boxes["u"] == b
		}
		w.sleep(w.cfg.MailboxIdle / 2)
		if !loaded() {
			t.Error("it left memory before it was idle for long enough")
		}
		w.sleep(w.cfg.MailboxIdle + 2*time.Second)
		if loaded() {
			t.Error("it stays in memory")
		}
	})
}
