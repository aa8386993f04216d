package pebble

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
)

// TestCheckpointKeepsWhatIsReplacedMeanwhile: a record that was saved durably is saved again, lazily, while its segment is
// being let go of. One of the two survives.
func TestCheckpointKeepsWhatIsReplacedMeanwhile(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := testConfig(t, fs)
	cfg.LazySync, cfg.CheckpointEvery = time.Hour, time.Hour
	s := open(t, cfg)
	save := func(seen int64, isDurable bool) {
		d := store.DeviceSave{Owner: owner, User: "u", Device: store.Device{ID: "d", LastSeenMS: seen}}
		if err := s.SaveDevices(t.Context(), []store.DeviceSave{d}, isDurable); err != nil {
			t.Error(err)
		}
	}
	save(1, true)
	s.keeper.turning.Lock()
	if err := s.journal.Prepare(); err != nil {
		t.Fatal(err)
	}
	s.commits.rotate.Store(true)
	var once sync.Once
	pause := func() error { // first called once the rows are chosen, before they are written
		once.Do(func() { save(2, false) })
		return nil
	}
	err := s.keeper.barrier()
	if err == nil {
		err = s.checkpoint(s.journal.Current()-1, s.keeper.barrier, pause)
	}
	s.keeper.turning.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	cfg.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	m, err := open(t, cfg).Load(t.Context(), owner, "u")
	if err != nil || len(m.Devices) != 1 {
		t.Fatalf("devices %+v, %v", m.Devices, err)
	}
}

// TestAckedMessagesNeverReachTheTables: what is forgotten before its segment is checkpointed leaves its id alone, one row
// for all of a user's.
func TestAckedMessagesNeverReachTheTables(t *testing.T) {
	s := open(t, testConfig(t, vfs.NewMem()))
	for n := range uint64(50) {
		e := entry(fmt.Sprint("m", n), protocol.PriorityHigh, n+1)
		if err := appendOne(t.Context(), s, "u", e); err != nil {
			t.Fatal(err)
		}
		if n == 49 {
			break // the last waits
		}
		f := store.Forget{Owner: owner, User: "u", Refs: []store.Ref{placeOf(e)}}
		if err := s.Forget(t.Context(), []store.Forget{f}); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint(t, s)
	if users, ids := len(rowsIn(t, s, spaceUser)), len(rowsIn(t, s, spaceID)); users != 1 || ids != 1 {
		t.Errorf("%d rows of mailboxes, %d of ids; want one of each", users, ids)
	}
	if deletes := s.db.Metrics().Keys.TombstoneCount; deletes != 0 {
		t.Errorf("%d rows were deleted", deletes)
	}
	if n := s.recent.size(); n != 0 {
		t.Errorf("%d bytes are recent after a checkpoint", n)
	}
	m, err := s.Load(t.Context(), owner, "u")
	if err != nil || len(m.Entries) != 1 || len(m.Seen) != 50 {
		t.Fatalf("%d entries, %d ids, %v", len(m.Entries), len(m.Seen), err)
	}
}

// TestAFloodWaitsForCheckpointsAndLosesNothing fills segments faster than they are let go of.
func TestAFloodWaitsForCheckpointsAndLosesNothing(t *testing.T) {
	cfg := testConfig(t, vfs.NewMem())
	cfg.SegmentBytes, cfg.CheckpointDelay = minSegment, time.Minute // but for the pressure
	s := open(t, cfg)
	const users, each = 8, 100
	var all sync.WaitGroup
	for u := range users {
		all.Go(func() {
			for n := range uint64(each) {
				if err := appendOne(t.Context(), s, protocol.UserID(fmt.Sprint("u", u)), entry(fmt.Sprint("m", n), protocol.PriorityHigh, n+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for u := range users {
		m, err := s.Load(t.Context(), owner, protocol.UserID(fmt.Sprint("u", u)))
		if err != nil || len(m.Entries) != each {
			t.Fatalf("%d entries, %v", len(m.Entries), err)
		}
	}
	if n := s.journal.Bytes(); n > maxSegments*minSegment*4 {
		t.Errorf("the journal takes %d bytes", n)
	}
}

// TestFirstSavesShareAnFsync: devices that come at the same time wait for each other a moment; messages never do.
func TestFirstSavesShareAnFsync(t *testing.T) {
	var syncs atomic.Int64
	cfg := testConfig(t, &gateFS{FS: vfs.NewMem(), step: func(op string) {
		if op == "sync" {
			syncs.Add(1)
		}
	}})
	cfg.Linger, cfg.CheckpointEvery = 100*time.Millisecond, time.Hour
	s := open(t, cfg)
	s.commits.linger = time.Hour // as long as it takes: the calls end it, not the clock
	before := syncs.Load()
	var all sync.WaitGroup
	for n := range lingerCalls {
		all.Go(func() {
			d := store.DeviceSave{Owner: owner, User: protocol.UserID(fmt.Sprint("u", n)), Device: store.Device{ID: "d"}}
			if err := s.SaveDevices(t.Context(), []store.DeviceSave{d}, true); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := syncs.Load() - before; n != 1 {
		t.Errorf("%d syncs for %d saves", n, lingerCalls)
	}
	if err := appendOne(t.Context(), s, "u", entry("a", protocol.PriorityLow, 1)); err != nil { // else it waits for an hour
		t.Fatal(err)
	}
}

func TestOldFormatIsRefusedInWords(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	setFormat(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(cfg, quiet(), nil)
	if err == nil || !strings.Contains(err.Error(), "format 01, this program reads format 02") {
		t.Errorf("open: %v", err)
	}
}

// FuzzReadOps reads any bytes as ops: what is read is within them, and a fault is an error.
func FuzzReadOps(f *testing.F) {
	var o ops
	e, d := fullEntry(), fullDevice()
	o.time(1)
	o.claim([]protocol.ShardID{1, 2}, 3)
	o.mailbox(1, "u")
	o.message(&e)
	o.drop(placeOf(e))
	o.device(&store.DeviceSave{Device: d})
	o.device(&store.DeviceSave{Device: d, Remove: true})
	f.Add(o.b)
	f.Add(o.b[:len(o.b)-1])
	f.Add([]byte{opMessage})
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRecent()
		_ = r.apply(b, 1, true)
		r.leave(r.boxesUpTo(1), 1)
		for _, users := range r.shards {
			for user, box := range users {
				if !box.empty() {
					t.Fatalf("user %q has rows that belong to no segment", user)
				}
			}
		}
	})
}

func FuzzReadIDs(f *testing.F) {
	f.Add(appendID(appendID(nil, []byte("a"), 1), []byte("b"), 2))
	f.Fuzz(func(t *testing.T, list []byte) {
		seen, err := readIDs(list, -1<<63, nil)
		if err != nil {
			return
		}
		var again []byte
		for _, s := range seen {
			again = appendID(again, []byte(s.ID), s.AcceptedMS)
		}
		if string(again) != string(list) {
			t.Fatalf("%x was read as %v", list, seen)
		}
	})
}
