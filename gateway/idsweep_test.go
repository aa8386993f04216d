package gateway

import (
	"fmt"
	"testing"
	"time"
)

// TestIDsGoSoonAfterTheirRetention: they are counted against what a user may have, and take memory.
func TestIDsGoSoonAfterTheirRetention(t *testing.T) {
	inSyncTest(t, func(c *Config) { c.IDRetention = time.Second }, func(t *testing.T, w *fixture) {
		w.open("d") // keeps the mailbox in memory
		memory := func() int64 { return w.g.common.Ledger.Memory.Load() }
		before := memory()
		for i := range 40 {
			id := fmt.Sprint("m", i)
			w.accept(id, medium)
			if ok, err := w.recall(id); !ok || err != nil {
				t.Fatal(ok, err)
			}
		}
		w.duplicate("m39", medium)
		held := memory() - before
		w.sleep(15 * time.Second)
		if left := memory() - before; held < 500 || left > held/2 {
			t.Errorf("40 ids took %d bytes, and after 15 s %d", held, left)
		}
		w.accept("m39", medium)
	})
}
