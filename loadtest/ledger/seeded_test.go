package main

import (
	"bytes"
	"strings"
	"testing"

	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/loadtest/ledger/judge"
)

// TestStoreWithAFaultIsFound has a server whose Cassandra store breaks a promise on purpose, and the ledger find that.
func TestStoreWithAFaultIsFound(t *testing.T) {
	testserver.Long(t)
	for _, c := range []struct {
		name string
		edit testprocess.Edit
		kind judge.Kind
	}{
		{"accepted_before_it_is_stored", testprocess.Edit{File: "store/cassandra/append.go",
			Old: "err := s.append(ctx, a)",
			New: `copied := *a
			copied.Entries = append([]store.Entry(nil), a.Entries...)
			copied.Kills = append([]store.Ref(nil), a.Kills...)
			go func() {
				time.Sleep(100 * time.Millisecond)
				_ = s.append(context.WithoutCancel(ctx), &copied)
			}()
			var err error`,
		}, judge.Missing},
		{"a_step_is_not_loaded", testprocess.Edit{File: "store/cassandra/load.go",
			Old: "l.steps = append(l.steps, steps...)",
			New: "l.steps = append(l.steps, steps[min(1, len(steps)):]...)",
		}, judge.Missing},
		{"kills_are_not_stored", testprocess.Edit{File: "store/cassandra/append.go",
			Old: "encodeStep(a.Entries, a.Kills), s.ttlOf(w.expiresMS, nowMS)",
			New: "encodeStep(a.Entries, nil), s.ttlOf(w.expiresMS, nowMS)",
		}, judge.Recalled},
		{"ids_are_not_loaded", testprocess.Edit{File: "store/cassandra/load.go",
			Old: "for id, ms := range seen {",
			New: "for id, ms := range map[protocol.MessageID]int64{} {",
		}, judge.Again},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := short(t)
			l.Store = keyspace(t, l.Binary)
			var err error
			if l.Binary, err = testprocess.BuildEdited("../..", t.TempDir(), c.edit); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			status, err := ledger(t.Context(), l, &out)
			if err != nil {
				t.Fatalf("%v\n%s", err, &out)
			}
			if found := "\n" + string(c.kind) + ": "; status != 1 || !strings.Contains(out.String(), found) {
				t.Errorf("status %d, and no violation %q\n%s", status, c.kind, &out)
			}
			t.Logf("found:\n%.3000s", &out)
		})
	}
}
