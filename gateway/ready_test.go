package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ramen/protocol"
	"ramen/store/memory"
)

// TestFix21ReadyWhileHighIsTaken: not while the memory is full of high, the store takes none, or no shard is owned; and then it says
// so. Streams are served as long as shards are owned. SPEC 8.
func TestFix21ReadyWhileHighIsTaken(t *testing.T) {
	edit := func(c *Config) { c.MemoryBytes = 16 << 20 }
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		ready := func(want string) {
			t.Helper()
			err := w.g.Ready()
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("Ready answers %v, not %q", err, want)
			}
		}
		ready("")
		full := ""
		w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
			if op.Kind == memory.OpAdmit && strings.Contains(full, op.Priority.String()) {
				return memory.Fault{Err: errors.New("disk nearly full")}
			}
			return memory.Fault{}
		})
		full = "low medium"
		ready("")
		full = "low medium high"
		ready("disk nearly full")
		full = ""
		for i := range 29 { // 14.5 of 16 MiB, and what they take besides: low and medium are refused
			w.accept(fmt.Sprint("m", i), high, payload(512<<10), user(fmt.Sprint("u", i)))
		}
		ready("")
		w.accept("last", high, payload(1<<20), user("v"))
		ready("memory")
		if err := w.g.Serving(); err != nil {
			t.Errorf("streams are not served: %v", err)
		}
		for i := range w.g.shards {
			w.g.Lose(protocol.ShardID(i), 0)
		}
		ready("owns no users")
		if err := w.g.Serving(); !errors.Is(err, ErrNotServing) {
			t.Errorf("Serving answers %v", err)
		}
	})
}
