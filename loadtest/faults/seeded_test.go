package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ramen/internal/testserver"
	"ramen/loadtest/ledger/judge"
)

// edit is a fault that is built into the server: a text of a file of this module that is replaced, which has to be there once.
type edit struct{ file, old, new string }

// buildWith builds a ramen with a fault in it. No file of the module is touched: the compiler reads another in its place.
func buildWith(t *testing.T, e edit) (binary string) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", e.file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte(e.old)); n != 1 {
		t.Fatalf("%s has %d times, not once, what the fault is put in place of: %s", e.file, n, e.old)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(changed, bytes.Replace(text, []byte(e.old), []byte(e.new), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "ramen")
	if said, err := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "ramen/cmd/ramen").CombinedOutput(); err != nil {
		t.Fatalf("build a server with a fault: %v: %s", err, said)
	}
	return binary
}

// TestServerWithAFaultIsFound has servers that break a promise on purpose, and the schedule that is there for it find that.
func TestServerWithAFaultIsFound(t *testing.T) {
	testserver.Long(t)
	for _, c := range []struct {
		name, store, only string
		edit              edit
		kind              judge.Kind
	}{
		{"accepted_before_it_is_stored", "redis", "redis-paused", edit{
			"gateway/commit.go",
			"g.store.Append(g.appendContext(a.began), a.batch[:len(a.steps)], a.answer)",
			`copied := make([]store.Append, len(a.steps))
	for i := range copied {
		copied[i] = a.batch[i]
		copied[i].Entries = append([]store.Entry(nil), a.batch[i].Entries...)
		copied[i].Kills = append([]store.Ref(nil), a.batch[i].Kills...)
		a.answer(i, nil)
	}
	g.store.Append(g.appendContext(a.began), copied, func(int, error) {})`,
		}, judge.Uncovered},
		{"ids_are_not_loaded", "pebble", "owner-killed", edit{
			"gateway/mailbox/mailbox.go", "range kept.Seen {", "range kept.Seen[:0] {",
		}, judge.Again},
		{"a_cached_mailbox_is_trusted_without_its_generation", "tiered", "cut-owner-killed-healed", edit{
			"store/tiered/append.go",
			"sh.revoke(ctx, a.Owner, t.mark.Generation, cause, func(err error) { done(i, inDoubt(err)) })",
			"_ = cause\n\t\tdone(i, nil)",
		}, judge.Missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := short(t, c.store)
			f.Binary, f.Short, f.Only, f.Users, f.Hold, f.Calm = buildWith(t, c.edit), false, c.only, 32, 2*time.Second, 2*time.Second
			var out bytes.Buffer
			status, err := faults(t.Context(), f, &out)
			if err != nil {
				t.Fatalf("%v\n%s%s", err, f.Progress, &out)
			}
			if found := "\n" + string(c.kind) + ": "; status != 1 || !strings.Contains(out.String(), found) {
				t.Errorf("status %d, and no violation %q\n%s%s", status, c.kind, f.Progress, &out)
			}
			t.Logf("found:\n%.3000s", &out)
		})
	}
}
