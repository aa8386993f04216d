package simulation

import (
	"os"
	"strings"
	"testing"
	"time"
)

// faults are of the product, each with words of the property that does not hold then.
var faults = []struct {
	name  string
	edits []edit
	words []string
}{
	{"fencing_off", []edit{
		{"store/memory/disk.go", "if at := d.claims[o.Shard]; !d.cfg.Unfenced &&", "if at := d.claims[o.Shard]; false &&"},
		{"gateway/take.go", "	own.lease.Store(g.leaseEnd(lease))\n", "	own.lease.Store(forever)\n"},
	}, []string{"two owners"}},
	{"sent_taken_for_acked", []edit{
		{"gateway/mailbox/open.go", "	f.drop(d.acked.At)\n", "	d.acked = protocol.Cursor{Seq: o.Seq, At: at}\n	d.markDirty()\n	f.drop(d.acked.At)\n"},
	}, []string{"has not got", "missing"}},
	{"re-opens_without_a_stream_number", []edit{
		{"gateway/open.go", "} else if o.Number.Less(d.Number()) {", "} else if false {"},
	}, []string{"for one that is older"}},
	{"positions_from_a_bare_clock", []edit{
		{"gateway/mailbox/step.go", "protocol.Position{Epoch: b.scope.Owner.Epoch,", "protocol.Position{Epoch: 1,"},
	}, []string{"has not got", "missing"}},
	{"epochs_that_go_back", []edit{
		{"topology/controller/controller.go", "			in.Epoch = max(in.Epoch, m.Epoch)\n", "			_ = m\n"},
		{"topology/controller/controller.go", "			in.Past = registry.Past{Epoch: max(in.Past.Epoch, m.Past.Epoch), Version: max(in.Past.Version, m.Past.Version)}\n", ""},
		{"topology/registry/views.go", "		if err := view.CheckAfter(now.view); err != nil {", "		if err := view.Check(); err != nil {"},
		{"topology/registry/views.go", "	case view == nil || view.Version <= now.view.Version:\n", "	case view == nil:\n"},
		{"store/memory/disk.go", "at.Epoch > epoch || at.Epoch == epoch && at.Owner != owner", "at.Epoch == epoch && at.Owner != owner"},
		{"gateway/take.go", "	if epoch < s.below {\n", "	if false {\n"},
	}, []string{"epochs go back"}},
	{"accepted_before_the_append", []edit{
		{"gateway/commit.go", "	g.store.Append(g.appendContext(a.began), a.batch[:len(a.steps)], a.answer)", `	copied := make([]store.Append, len(a.steps))
	for i := range copied {
		copied[i] = a.batch[i]
		copied[i].Entries = append([]store.Entry(nil), a.batch[i].Entries...)
		copied[i].Kills = append([]store.Ref(nil), a.batch[i].Kills...)
		a.answer(i, nil)
	}
	g.store.Append(g.appendContext(a.began), copied, func(int, error) {})`},
	}, []string{"accepted before it is stored"}},
	{"lease_that_counts_from_the_answer", []edit{
		{"topology/registry/session.go", "	case err == nil:\n		s.renewed(sent)\n", "	case err == nil:\n		_ = sent\n		s.renewed(time.Now())\n"},
	}, []string{"two owners"}},
}

// TestSeededFaultIsFound has the product break a promise on purpose: schedules show it within five minutes.
func TestSeededFaultIsFound(t *testing.T) {
	if os.Getenv("RAMEN_LONG") == "" {
		t.Skip("RAMEN_LONG=1 runs it: it builds the product anew for each fault")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			binary := built(t, f.edits...)
			began := time.Now()
			for n, first := 0, uint64(1); time.Since(began) < 5*time.Minute && !t.Failed(); first += 64 {
				all := workAll(t, binary, order{First: first, Count: 64})
				n += len(all)
				for _, r := range all {
					text := strings.Join(r.Wrong, "\n")
					for _, w := range f.words {
						if strings.Contains(text, w) {
							t.Logf("found by seed %d after %d schedules, %v:\n%s%.1000s", r.Seed, n, time.Since(began).Round(time.Millisecond), r.Schedule, text)
							return
						}
					}
					if len(r.Wrong) > 0 {
						t.Logf("seed %d: something else than %q: %.600s", r.Seed, f.words, text)
					}
				}
			}
			t.Errorf("no schedule has shown %q", f.words)
		})
	}
}
