package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/loadtest/ledger/judge"
)

// TestServerWithAFaultIsFound has servers that break a promise on purpose, and the schedule that is there for it find that.
func TestServerWithAFaultIsFound(t *testing.T) {
	testserver.Long(t)
	for _, c := range []struct {
		name, store, only string
		edit              testprocess.Edit
		kind              judge.Kind
	}{
		{"accepted_before_it_is_stored", "redis", "redis-paused", testprocess.Edit{
			File: "gateway/commit.go",
			Old:  "g.store.Append(g.appendContext(a.began), a.batch[:len(a.steps)], a.answer)",
			New: `copied := make([]store.Append, len(a.steps))
	for i := range copied {
		copied[i] = a.batch[i]
		copied[i].Entries = append([]store.Entry(nil), a.batch[i].Entries...)
		copied[i].Kills = append([]store.Ref(nil), a.batch[i].Kills...)
		a.answer(i, nil)
	}
	g.store.Append(g.appendContext(a.began), copied, func(int, error) {})`,
		}, judge.Uncovered},
		{"ids_are_not_loaded", "pebble", "owner-killed", testprocess.Edit{
			File: "gateway/mailbox/mailbox.go", Old: "range kept.Seen {", New: "range kept.Seen[:0] {",
		}, judge.Again},
		{"a_cached_mailbox_is_trusted_without_its_generation", "tiered", "cut-owner-killed-healed", testprocess.Edit{
			File: "store/tiered/append.go",
			Old:  "sh.revoke(ctx, a.Owner, t.mark.Generation, cause, func(err error) { done(i, inDoubt(err)) })",
			New:  "_ = cause\n\t\tdone(i, nil)",
		}, judge.Missing},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := short(t, c.store)
			var err error
			if f.Binary, err = testprocess.BuildEdited("../..", t.TempDir(), c.edit); err != nil {
				t.Fatal(err)
			}
			f.Short, f.Only, f.Users, f.Hold, f.Calm = false, c.only, 32, 2*time.Second, 2*time.Second
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
