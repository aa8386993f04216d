package redis

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
)

// logLines keeps what is logged.
type logLines struct {
	mu  sync.Mutex
	all []string
}

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(b))
	return len(b), nil
}

func (l *logLines) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.all {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// TestSilentIdentityIsToldOnce: claims of shards on other nodes of a cluster succeed while the node with the identity does not answer. That is
// one line in the log, however many claims there are, and one once it answers; all of them are counted.
func TestSilentIdentityIsToldOnce(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{Config: redistest.Config{"cluster-node-timeout": "60000"}})
	lines := &logLines{}
	cfg := clusterConfig(t, c)
	cfg.Log = slog.New(slog.NewTextHandler(lines, nil))
	s := open(t, cfg)
	of, err := s.nodeOfKey(within(t), identityKey(cfg.Prefix))
	if err != nil {
		t.Fatal(err)
	}
	shard := protocol.ShardID(0)
	for n := of; n == of; shard++ {
		if n, err = s.nodeOfShard(within(t), shard); err != nil {
			t.Fatal(err)
		}
	}
	shard--
	claim(t, s, 1, "first", shard)
	unread := func() float64 {
		var m dto.Metric
		if err := s.metrics.identityUnread.Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetCounter().GetValue()
	}
	const silent, again = "could not be looked at", "is looked at again"
	for _, server := range c.Nodes {
		if server.Addr == of.addr {
			server.Pause(t)
			defer server.Continue(t)
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				err := errors.Join(s.Claim(ctx, []protocol.ShardID{shard}, 1, "first")...)
				cancel()
				if err != nil {
					t.Fatal(err)
				}
			}
			if n, logged := unread(), lines.count(silent); n != 3 || logged != 1 {
				t.Errorf("%v claims are counted and %d told, want 3 and 1", n, logged)
			}
			server.Continue(t)
		}
	}
	awaitSo(t, "the identity is looked at", func() error { claim(t, s, 1, "first", shard); return nil })
	if lines.count(silent) != 1 || lines.count(again) != 1 || unread() != 3 {
		t.Errorf("told %d times, and its end %d times; %v are counted", lines.count(silent), lines.count(again), unread())
	}
}
