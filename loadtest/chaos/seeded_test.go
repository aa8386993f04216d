package main

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/loadtest/chaos/testbed"
	"ramen/loadtest/ledger/judge"
)

// TestFaultOfAReopenIsFound has gateways that take for acked what was sent on a socket: a device that breaks off with bytes unread shows it.
func TestFaultOfAReopenIsFound(t *testing.T) {
	testserver.Long(t)
	faulty, err := testprocess.BuildEdited(filepath.Join("..", ".."), t.TempDir(), testprocess.Edit{
		File: "gateway/mailbox/open.go", Old: "	f.drop(d.acked.At)\n", New: "	d.acked = protocol.Cursor{Seq: o.Seq, At: at}\n	d.markDirty()\n	f.drop(d.acked.At)\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testbed.Default()
	cfg.Cluster.Binary, cfg.Progress = faulty, t.Output()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	b, err := testbed.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for i, name := range []string{"gateway-killed", "gateway-drained", "gateway-killed", "gateway-drained"} {
		if err := b.Inflict(testbed.Named(name, i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	r := judge.Judge(l)
	if r.Of(judge.Missing)+r.Of(judge.Skipped) == 0 {
		t.Error("no message is missing")
	}
	var text bytes.Buffer
	r.Write(&text)
	judge.WriteViolations(&text, l, r, 1)
	t.Logf("found:\n%.4000s", &text)
}
