package pebble

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
)

func TestCorruptRowIsAnErrorThatNamesIt(t *testing.T) {
	good := appendMessageKey(nil, 1, "u", store.Ref{Priority: protocol.PriorityHigh, Position: protocol.Position{Epoch: 1, Micros: 5}})
	cases := map[string]struct{ key, value []byte }{
		"entry of another version": {good, []byte{9, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
		"entry cut short":          {good, []byte{1, 0, 0}},
		"place cut short":          {good[:len(good)-1], nil},
		"unknown kind":             {append(appendUserPrefix(nil, 1, "u"), 'x'), nil},
		"no kind":                  {appendUserPrefix(nil, 1, "u"), nil},
		"device":                   {appendDeviceKey(nil, 1, "u", "d"), []byte{1}},
		"lane":                     {bytes.Replace(good, []byte{'m', 1}, []byte{'m', 9}, 1), nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := open(t, testConfig(t, nil))
			if err := appendOne(t.Context(), s, "u", entry("a", protocol.PriorityLow, 9)); err != nil {
				t.Fatal(err)
			}
			if err := s.db.Set(c.key, c.value, engine.NoSync); err != nil {
				t.Fatal(err)
			}
			_, err := s.Load(t.Context(), owner, "u")
			if err == nil || !strings.Contains(err.Error(), `user "u"`) || !strings.Contains(err.Error(), fmt.Sprintf("%x", c.key)) {
				t.Errorf("load: %v", err)
			}
			if users, err := s.ScanExpired(t.Context(), owner, "", 0, 0, 10); err != nil || !slices.Equal(users, []protocol.UserID{"u"}) {
				t.Errorf("expired: %q, %v", users, err)
			}
		})
	}
}

func TestIDsGoByBuckets(t *testing.T) {
	now := time.UnixMilli(1_000_000_000_000)
	cfg := testConfig(t, vfs.NewMem())
	cfg.IDRetention, cfg.Now = time.Minute, func() time.Time { return now }
	s := open(t, cfg)
	accept := func(n uint64) {
		e := entry(fmt.Sprint("m", n), protocol.PriorityHigh, n)
		e.Message.CreatedMS = now.UnixMilli()
		if err := appendOne(t.Context(), s, "u", e); err != nil {
			t.Fatal(err)
		}
	}
	seen := func() (ids []string) {
		m, err := s.Load(t.Context(), owner, "u")
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range m.Seen {
			ids = append(ids, string(i.ID))
		}
		slices.Sort(ids)
		return ids
	}
	for n := range uint64(100) { // 300 s
		accept(n)
		checkpoint(t, s)
		if err := s.dropBuckets(); err != nil {
			t.Fatal(err)
		}
		if got := len(seen()); got != min(int(n)+1, 21) { // 60 s at 3 s each, both ends
			t.Fatalf("%d ids seen after %d", got, n+1)
		}
		if got := len(s.buckets.ends); got > bucketsKept+3 {
			t.Fatalf("%d buckets", got)
		}
		now = now.Add(3 * time.Second)
	}
	if ends := s.buckets.ends; len(rowsIn(t, s, spaceID)) > 40 {
		t.Fatalf("%d rows of ids in buckets %v: dropped ones stay", len(rowsIn(t, s, spaceID)), ends)
	}
	now = now.Add(-time.Hour) // the clock goes back
	accept(200)
	if !slices.Contains(seen(), "m200") || !slices.IsSorted(s.buckets.ends) {
		t.Fatalf("ids %v in buckets %v after the clock went back", seen(), s.buckets.ends)
	}
}

func rowsIn(t *testing.T, s *Store, space byte) (keys [][]byte) {
	t.Helper()
	it, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	for ok := it.SeekGE([]byte{space}); ok && it.Key()[0] == space; ok = it.Next() {
		keys = append(keys, bytes.Clone(it.Key()))
	}
	return keys
}

func TestStuckDiskRefusesAtOnceBeyondItsBound(t *testing.T) {
	fs := &gateFS{FS: vfs.NewMem()}
	cfg := testConfig(t, fs)
	cfg.MaxOverdue = 3
	s := open(t, cfg)
	release := fs.stall()
	ended, cancel := context.WithCancel(t.Context())
	for n := range uint64(3) {
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
		err := appendOne(ctx, s, "u", entry(fmt.Sprint("m", n), protocol.PriorityHigh, n+1))
		stop()
		if !errors.Is(err, store.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("append %d: %v", n, err)
		}
	}
	err := appendOne(t.Context(), s, "u", entry("refused", protocol.PriorityHigh, 9)) // no deadline: it must not wait
	if !errors.Is(err, ErrStalled) || errors.Is(err, store.ErrUnknown) {
		t.Fatalf("append beyond the bound: %v", err)
	}
	cancel()
	if err := appendOne(ended, s, "u", entry("ended", protocol.PriorityHigh, 10)); errors.Is(err, store.ErrUnknown) || err == nil {
		t.Fatalf("append with an ended context: %v", err)
	}
	release()
	m, err := s.Load(t.Context(), owner, "u") // waits for the three
	if err != nil || len(m.Entries) != 3 {
		t.Fatalf("%d entries, %v; want 3", len(m.Entries), err)
	}
	if err := appendOne(t.Context(), s, "u", entry("after", protocol.PriorityHigh, 11)); err != nil {
		t.Fatalf("append after the disk came back: %v", err)
	}
}

func TestCloseIsBoundedOnAStuckDisk(t *testing.T) {
	fs := &gateFS{FS: vfs.NewMem()}
	cfg := testConfig(t, fs)
	cfg.CloseTimeout = 20 * time.Millisecond
	s := mustOpen(t, cfg)
	claim(t, s)
	release := fs.stall()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if err := appendOne(ctx, s, "u", entry("a", protocol.PriorityHigh, 1)); !errors.Is(err, store.ErrUnknown) {
		t.Fatalf("append: %v", err)
	}
	if err := s.Close(); !errors.Is(err, ErrStalled) {
		t.Fatalf("close: %v", err)
	}
	release()
	<-s.commits.ended
	<-s.checkpointer.ended
	if err := errors.Join(s.journal.Close(), s.db.Close(), s.lock.close()); err != nil {
		t.Fatal(err)
	}
}

func TestExpiryScanIsBoundedAndGoesOn(t *testing.T) {
	s := open(t, testConfig(t, nil))
	s.maxScan = 10
	for i := range 100 {
		e := entry("a", protocol.PriorityHigh, 1)
		if i == 55 || i == 56 || i == 99 {
			e.Message.ExpiresMS = 1
		}
		if err := appendOne(t.Context(), s, protocol.UserID(fmt.Sprintf("u%02d", i)), e); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint(t, s)
	var found []protocol.UserID
	after, calls := protocol.UserID(""), 0
	for ; calls < 40 && len(found) < 3; calls++ {
		users, err := s.ScanExpired(t.Context(), owner, after, 2, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		if found = append(found, users...); len(users) > 0 {
			after = users[len(users)-1]
		}
	}
	if !slices.Equal(found, []protocol.UserID{"u55", "u56", "u99"}) || calls < 10 {
		t.Fatalf("found %q in %d calls", found, calls)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatal(err)
	}
	err := (Config{MemTableBytes: 1, CacheBytes: -1, ReserveBytes: 5, ReserveLowBytes: 4}).Validate()
	for _, want := range []string{"dir", "id_retention", "memtable_bytes", "cache_bytes", "reserve_low_bytes", "max_pending_bytes",
		"max_overdue", "max_reads", "lazy_sync", "close_timeout"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not speak of %s", err, want)
		}
	}
	if _, err := Open(Config{}, quiet(), nil); err == nil {
		t.Error("a store without configuration opened")
	}
}
