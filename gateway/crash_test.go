package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/gateway/mailbox/mailboxtest"
	"ramen/link"
	"ramen/protocol"
	"ramen/store/pebble"
)

// crashWalk is a gateway on the embedded store, which loses power again and again, beside what is known of each message.
type crashWalk struct {
	t     *testing.T
	rng   *rand.Rand
	fs    *vfs.MemFS
	store *pebble.Store
	w     *fixture
	d     *recorder

	next   int
	newest map[string]string // by key and target
	mustNo map[string]bool   // replaced or recalled
	must   map[string]bool   // accepted, and waits: nobody has acked it
}

// TestFix14ReplacedStaysGoneThroughLossesOfPower has messages of few keys replace each other, be acked, expire and be recalled,
// with a loss of power after every few calls: what was replaced or recalled is never seen again, and what waits is not lost.
func TestFix14ReplacedStaysGoneThroughLossesOfPower(t *testing.T) {
	seed, crashes := uint64(time.Now().UnixNano()), 60
	if s := os.Getenv("RAMEN_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(errors.New("RAMEN_SEED must be a number"))
		}
		seed = n
	}
	if testing.Short() {
		crashes = 15
	}
	t.Logf("RAMEN_SEED=%d", seed)
	c := &crashWalk{t: t, rng: rand.New(rand.NewPCG(seed, 1)), fs: vfs.NewCrashableMem(),
		newest: map[string]string{}, mustNo: map[string]bool{}, must: map[string]bool{}}
	c.open()
	defer func() { c.close() }()
	for range crashes {
		c.d = c.w.open("d")
		for range c.rng.IntN(12) {
			c.turn()
		}
		c.check("before")
		left := c.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: c.rng.IntN(101), RNG: c.rng})
		c.close()
		c.fs = left
		c.open()
		c.check("after a loss of power")
	}
}

func (c *crashWalk) open() {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	cfg := pebble.Default()
	cfg.Dir, cfg.FS, cfg.MemTableBytes = "data", c.fs, 1<<20
	if c.rng.IntN(2) == 0 {
		cfg.CheckpointEvery, cfg.CheckpointDelay = 10*time.Millisecond, 0
	}
	s, err := pebble.Open(cfg, log, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	w := &fixture{t: c.t, cfg: Default()}
	w.cfg.ShardCount, w.cfg.OpensPerSecond, w.cfg.PublishesPerSecond, w.cfg.AppendTimeout = testShards, 0, 0, 10*time.Second
	w.cfg.SaveInterval = time.Duration(1+c.rng.IntN(20)) * time.Millisecond
	if w.g, err = New(w.cfg, Deps{Store: s, Log: log}); err != nil {
		c.t.Fatal(err)
	}
	last, err := s.LastEpoch(context.Background())
	if err != nil {
		c.t.Fatal(err)
	}
	w.take(last + 1)
	c.store, c.w = s, w
}

func (c *crashWalk) close() {
	if err := c.w.g.Close(context.Background()); err != nil {
		c.t.Error(err)
	}
	if err := c.store.Close(); err != nil {
		c.t.Error(err)
	}
}

func (c *crashWalk) turn() {
	switch n := c.rng.IntN(10); {
	case n < 5:
		c.publish()
	case n < 8:
		for _, id := range c.d.ids() {
			delete(c.must, id)
		}
		c.d.ackAll()
	case n < 9:
		id := fmt.Sprint("m", max(1, c.next-c.rng.IntN(3)))
		ok, err := c.w.recall(id)
		if err != nil {
			c.t.Fatal(err)
		}
		if ok {
			c.mustNo[id] = true
			delete(c.must, id)
		}
	default: // time for lazy saves and checkpoints, or not
		if err := c.w.g.writeBehind.flush(context.Background(), false); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *crashWalk) publish() {
	c.next++
	id := fmt.Sprint("m", c.next)
	i := c.rng.IntN(4)
	edits := []func(*link.Publish){key("k"), ttl(time.Hour)}
	brief := c.rng.IntN(3) == 0
	if brief {
		edits = append(edits, ttl(time.Millisecond))
	}
	if i > 1 { // hostile ones that were one target once
		edits = append(edits, func(p *link.Publish) { p.Where = mailboxtest.Wheres[[]int{0, 0, 3, 6}[i]] })
	}
	c.w.accept(id, protocol.LanePriority(c.rng.IntN(protocol.Lanes)), edits...)
	target := fmt.Sprint(max(i, 1))
	if old := c.newest[target]; old != "" {
		c.mustNo[old] = true
		delete(c.must, old)
	}
	c.newest[target] = id
	if !brief {
		c.must[id] = true
	}
}

func (c *crashWalk) check(when string) {
	c.t.Helper()
	have := c.w.waiting()
	for _, id := range have {
		if c.mustNo[id] {
			c.t.Fatalf("%s: %s waits, which was replaced or recalled; the newest are %v", when, id, c.newest)
		}
	}
	for id := range c.must {
		if !slices.Contains(have, id) {
			c.t.Fatalf("%s: %s does not wait; %v do", when, id, have)
		}
	}
}
