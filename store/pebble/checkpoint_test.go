package pebble

import (
	"errors"
	"fmt"
	"runtime"
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
		if err := errors.Join(s.SaveDevices(t.Context(), []store.DeviceSave{d}, isDurable)...); err != nil {
			t.Error(err)
		}
	}
	save(1, true)
	s.checkpointer.running.Lock()
	if err := s.journal.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	s.commits.rotate.Store(true)
	var once sync.Once
	pause := func() error { // first called once the rows are chosen, before they are written
		once.Do(func() { save(2, false) })
		return nil
	}
	err := s.checkpointer.barrier()
	if err == nil {
		err = s.checkpoint(s.journal.Current()-1, s.checkpointer.barrier, pause)
	}
	s.checkpointer.running.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	cfg.FS = fs.CrashClone(vfs.CrashCloneCfg{})
	m, err := open(t, cfg).Load(t.Context(), owner, "u")
	if err != nil || len(m.Devices) != 1 {
		t.Fatalf("devices %+v, %v", m.Devices, err)
	}
}

// TestCheckpointKeepsTheOrderOfLazySaves: what the next segment will have, if power does not fail first, must not be in
// the tables for one user and lost for another who called before.
func TestCheckpointKeepsTheOrderOfLazySaves(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := testConfig(t, fs)
	cfg.LazySync, cfg.CheckpointEvery = time.Hour, time.Hour
	s := open(t, cfg)
	save := func(user protocol.UserID) {
		d := store.DeviceSave{Owner: owner, User: user, Device: store.Device{ID: "d"}}
		if err := errors.Join(s.SaveDevices(t.Context(), []store.DeviceSave{d}, false)...); err != nil {
			t.Error(err)
		}
	}
	s.checkpointer.running.Lock()
	save("z") // the first, and in the last portion
	for n := range portion {
		save(protocol.UserID(fmt.Sprint("m", n)))
	}
	save("a")
	if err := s.journal.Prepare(nil); err != nil {
		t.Fatal(err)
	}
	s.commits.rotate.Store(true)
	save("b") // the next segment is begun with nothing in it
	var left []*vfs.MemFS
	pause := func() error {
		err := s.db.Flush() // as the engine may at any time
		left = append(left, fs.CrashClone(vfs.CrashCloneCfg{}))
		return err
	}
	err := s.checkpoint(s.journal.Current()-1, s.checkpointer.barrier, pause)
	s.checkpointer.running.Unlock()
	if err != nil || len(left) < 3 {
		t.Fatalf("%d pauses, %v", len(left), err)
	}
	for i, disk := range left {
		cfg.FS = disk
		cut := mustOpen(t, cfg)
		first, err := cut.Load(t.Context(), owner, "z")
		if err != nil {
			t.Fatal(err)
		}
		last, err := cut.Load(t.Context(), owner, "a")
		if err != nil {
			t.Fatal(err)
		}
		if len(last.Devices) > len(first.Devices) {
			t.Errorf("power failed in pause %d: the first save is lost, the last is there", i)
		}
		if err := cut.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestIDsCountForTheWholeRetention: a segment may be open for longer than the bucket of its first id.
func TestIDsCountForTheWholeRetention(t *testing.T) {
	const retention, width = time.Minute, time.Minute / bucketsKept
	var ms atomic.Int64
	ms.Store(width.Milliseconds()*1e6 - 1) // the last of a bucket
	cfg := testConfig(t, vfs.NewMem())
	cfg.IDRetention, cfg.CheckpointEvery = retention, time.Hour
	cfg.Now = func() time.Time { return time.UnixMilli(ms.Load()) }
	s := open(t, cfg)
	for n, id := range []string{"a", "b", "c"} {
		e := entry(id, protocol.PriorityHigh, uint64(n+1))
		e.Message.CreatedMS = ms.Load()
		if err := appendOne(t.Context(), s, "u", e); err != nil {
			t.Fatal(err)
		}
		ms.Add(5000)
	}
	last := ms.Load() - 5000
	checkpoint(t, s)
	ms.Store(last + retention.Milliseconds())
	m, err := s.Load(t.Context(), owner, "u")
	if err != nil || len(m.Seen) != 1 || m.Seen[0].ID != "c" {
		t.Errorf("at the end of the last id's retention: %v, %v", m.Seen, err)
	}
}

// TestNothingStaysOfWhomACallChangedNothing: their mailboxes leave memory too.
func TestNothingStaysOfWhomACallChangedNothing(t *testing.T) {
	s := open(t, testConfig(t, vfs.NewMem()))
	for n := range 100 {
		f := store.Forget{Owner: owner, User: protocol.UserID(fmt.Sprint("u", n)), Refs: []store.Ref{placeOf(entry("a", protocol.PriorityHigh, 1))}}
		f.Refs[0].Position.Epoch = 2 // the tables cannot have it
		if err := errors.Join(s.Forget(t.Context(), []store.Forget{f})...); err != nil {
			t.Fatal(err)
		}
	}
	checkpoint(t, s)
	if n := len(s.overlay.shards); n != 0 || s.overlay.size() != 0 {
		t.Errorf("the overlay still has %d shards and %d bytes", n, s.overlay.size())
	}
}

// TestALargeGroupDoesNotMakeTheNextLarge: the overlay keeps the bytes of groups.
func TestALargeGroupDoesNotMakeTheNextLarge(t *testing.T) {
	s := open(t, testConfig(t, vfs.NewMem()))
	large := store.Forget{Owner: owner, User: "u", Refs: make([]store.Ref, 10_000)}
	for i := range large.Refs {
		large.Refs[i] = store.Ref{Priority: protocol.PriorityLow}
	}
	if err := errors.Join(s.Forget(t.Context(), []store.Forget{large})...); err != nil {
		t.Fatal(err)
	}
	const n = 10
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range uint64(n) {
		if err := appendOne(t.Context(), s, "u", entry(fmt.Sprint(i), protocol.PriorityHigh, i+1)); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 64*kiB {
		t.Errorf("%d bytes were allocated a message", each)
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
		if err := errors.Join(s.Forget(t.Context(), []store.Forget{f})...); err != nil {
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
	if n := s.overlay.size(); n != 0 {
		t.Errorf("the overlay has %d bytes after a checkpoint", n)
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
			if err := errors.Join(s.SaveDevices(t.Context(), []store.DeviceSave{d}, true)...); err != nil {
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
	putFormat(t, s, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(cfg, quiet(), nil)
	if err == nil || !strings.Contains(err.Error(), "format 01, but this program reads formats 02 to 04") {
		t.Errorf("open: %v", err)
	}
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
