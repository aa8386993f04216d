package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/store/memory"
)

// TestCommittersIsDeprecated: the key does what it did, and the log says what to set for it. Without it there is no warning.
func TestCommittersIsDeprecated(t *testing.T) {
	for _, c := range []struct {
		committers int
		calls      int64
		warned     bool
	}{{0, 100, false}, {1, 100, true}, {3, 300, true}} {
		cfg := Default()
		cfg.ShardCount, cfg.Committers, cfg.CommitQueue = testShards, c.committers, 100
		var log bytes.Buffer
		s := memory.NewDisk(memory.Config{}).Open()
		g, err := New(cfg, Deps{Store: s, Registerer: prometheus.NewRegistry(), Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if warned := strings.Contains(log.String(), "gateway.committers is deprecated"); warned != c.warned || g.cfg.maxCalls() != c.calls {
			t.Errorf("committers %d: %d calls, warned %v: %s", c.committers, g.cfg.maxCalls(), warned, &log)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
