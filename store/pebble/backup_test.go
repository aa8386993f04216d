package pebble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ramen/protocol"
)

// restored is a store of a copy of a backup, made by a tool that leaves out empty files.
func restored(t *testing.T, backup string) Config {
	t.Helper()
	cfg := testConfig(t, nil)
	entries, err := os.ReadDir(backup)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if b := readFile(t, filepath.Join(backup, e.Name())); len(b) > 0 {
			writeFile(t, filepath.Join(cfg.Dir, e.Name()), b)
		}
	}
	return cfg
}

// TestFix07BackupHasWhatWasAcceptedBefore backs a store up again and again while messages are accepted and acked, with a journal that
// is checkpointed all the time. Each backup is good, and has all that was answered before it was asked for.
func TestFix07BackupHasWhatWasAcceptedBefore(t *testing.T) {
	cfg := testConfig(t, nil)
	cfg.SegmentBytes, cfg.CheckpointDelay = 64*kiB, 0
	s := open(t, cfg)
	var mu sync.Mutex
	answered := 0
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := appendOne(context.Background(), s, "u", entry(fmt.Sprint("m", n), protocol.PriorityHigh, uint64(n))); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			answered = n
			mu.Unlock()
		}
	})
	for i := range 4 {
		mu.Lock()
		least := answered
		mu.Unlock()
		dir := filepath.Join(t.TempDir(), "made", "backup")
		done, err := s.Backup(t.Context(), dir)
		if err != nil || done.Files < 5 {
			t.Fatalf("backup %d: %+v, %v", i, done, err)
		}
		r, err := Verify(dir)
		if err != nil || !r.Backup || r.Messages < least || r.Users != 1 {
			t.Fatalf("backup %d has %+v, %v; %d messages were answered before", i, r, err, least)
		}
		again := open(t, restored(t, dir))
		m, err := again.Load(t.Context(), owner, "u")
		if err != nil || len(m.Entries) != r.Messages {
			t.Fatalf("restored: %d messages, %v; the backup has %d", len(m.Entries), err, r.Messages)
		}
	}
	close(stop)
	writing.Wait()
	if _, err := os.Stat(filepath.Join(cfg.Dir, scratchName)); err == nil {
		t.Error("it left its scratch directory")
	}
}

func TestFix07BackupOfAStoppedStore(t *testing.T) {
	cfg := filled(t)
	before := contents(t, cfg.Dir)
	dir := filepath.Join(t.TempDir(), "backup")
	if _, err := BackupStopped(t.Context(), cfg.Dir, dir); err != nil {
		t.Fatal(err)
	}
	if after := contents(t, cfg.Dir); !slices.Equal(after, before) {
		t.Error("the store was changed")
	}
	if r, err := Verify(dir); err != nil || r.Messages != 2 || !r.Backup {
		t.Errorf("verify: %+v, %v", r, err)
	}
	wantMessages(t, restored(t, dir).Dir, 2)
	s := open(t, cfg)
	if _, err := BackupStopped(t.Context(), cfg.Dir, filepath.Join(t.TempDir(), "b")); !errors.Is(err, ErrInUse) {
		t.Errorf("of one that is in use: %v", err)
	}
	for _, target := range []string{dir, filepath.Join(cfg.Dir, "inside"), "relative"} {
		if _, err := s.Backup(t.Context(), target); err == nil {
			t.Errorf("a backup to %s was made", target)
		}
	}
}

// TestFix07DamagedBackupIsTold changes, cuts and removes each file of a backup: verify says which, and the restored copy does not
// start.
func TestFix07DamagedBackupIsTold(t *testing.T) {
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := BackupStopped(t.Context(), filled(t).Dir, backup); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(backup)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		for what, damage := range map[string]func(path string){
			"changed": func(path string) { b := readFile(t, path); b[len(b)/2] ^= 1; writeFile(t, path, b) },
			"cut":     func(path string) { b := readFile(t, path); writeFile(t, path, b[:len(b)/2]) },
			"removed": func(path string) { _ = os.Remove(path) },
		} {
			cfg := restored(t, backup)
			if e.Name() == backupName && what != "cut" {
				continue // without it, it is a directory as any
			}
			damage(filepath.Join(cfg.Dir, e.Name()))
			if _, err := Verify(cfg.Dir); err == nil || !strings.Contains(err.Error(), e.Name()) {
				t.Errorf("%s %s: verify says %v", e.Name(), what, err)
			}
			if s, err := Open(cfg, quiet(), nil); err == nil {
				t.Errorf("%s %s: it starts", e.Name(), what)
				_ = s.Close()
			}
		}
	}
}

// TestFix07RestoredStoreForgetsCursors: what was pushed after the backup was made may be of the same epochs and positions as what is
// pushed after it was restored. So the store has another generation each time, at another epoch, and keeps them.
func TestFix07RestoredStoreForgetsCursors(t *testing.T) {
	cfg := filled(t)
	backup := filepath.Join(t.TempDir(), "backup")
	if _, err := BackupStopped(t.Context(), cfg.Dir, backup); err != nil {
		t.Fatal(err)
	}
	s := open(t, cfg)
	generations := map[uint32]bool{s.Identity().Generation: true}
	key := s.Identity().Key
	for range 2 {
		cfg := restored(t, backup)
		var last protocol.Epoch
		for start := range 3 {
			s := mustOpen(t, cfg)
			if generations[s.Identity().Generation] != (start > 0) || s.Identity().Key != key {
				t.Errorf("start %d of a restored store: generation %d", start, s.Identity().Generation)
			}
			generations[s.Identity().Generation] = true
			epoch, err := s.LastEpoch(t.Context())
			if err != nil || epoch < renewEpochs || start > 0 && epoch != last {
				t.Errorf("start %d: the last epoch is %d, %v; it was %d", start, epoch, err, last)
			}
			if last = epoch + 1; errors.Join(s.Claim(t.Context(), []protocol.ShardID{1}, last, "test")...) != nil {
				t.Errorf("epoch %d cannot be claimed", last)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFix07FolderMayBeSaidToBeRestored, where it was set back by other means.
func TestFix07FolderMayBeSaidToBeRestored(t *testing.T) {
	cfg := filled(t)
	writeFile(t, filepath.Join(cfg.Dir, restoredName), nil)
	r, err := Verify(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s := mustOpen(t, cfg)
		if s.Identity().Generation == r.Generation {
			t.Error("cursors count on")
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	wantMessages(t, cfg.Dir, 2)
}

// TestFix07VerifyChangesNothing, and finds what is wrong in tables, too.
func TestFix07VerifyChangesNothing(t *testing.T) {
	cfg := filled(t)
	before := contents(t, cfg.Dir)
	r, err := Verify(cfg.Dir)
	if err != nil || r.Messages != 2 || r.Users != 1 || r.Format != formatVersion || r.Epoch != 1 || !r.Ended {
		t.Errorf("%+v, %v", r, err)
	}
	if after := contents(t, cfg.Dir); !slices.Equal(after, before) {
		t.Error("the store was changed")
	}
	tables, _ := filepath.Glob(filepath.Join(cfg.Dir, "*.sst"))
	for _, path := range tables {
		b := readFile(t, path)
		b[20] ^= 1
		writeFile(t, path, b)
	}
	if _, err := Verify(cfg.Dir); err == nil {
		t.Error("a block of a table was changed, and nothing is wrong")
	}
}

// TestFix19RepairGoesOn: what cannot be read is left out and told, the files as they were are kept, and the store starts.
func TestFix19RepairGoesOn(t *testing.T) {
	const n = 150
	for name, c := range map[string]struct {
		damage func(t *testing.T, cfg Config)
		least  int // messages that must be there
		lost   bool
	}{
		"a bit of a message": {func(t *testing.T, cfg Config) {
			path := newest(t, cfg.Dir)
			b := readFile(t, path)
			b[strings.LastIndex(string(b), fmt.Sprint("m", n-1))] ^= 1
			writeFile(t, path, b)
		}, n - 1, true},
		"the newest segment removed": {func(t *testing.T, cfg Config) {
			if err := os.Remove(newest(t, cfg.Dir)); err != nil {
				t.Fatal(err)
			}
		}, n / 2, true},
		"two segments swapped": {func(t *testing.T, cfg Config) {
			one, other := newest(t, cfg.Dir), filepath.Join(cfg.Dir, "journal-000000000001")
			a, b := readFile(t, one), readFile(t, other)
			writeFile(t, one, b)
			writeFile(t, other, a)
		}, n, false},
		"markers lost": {func(t *testing.T, cfg Config) { removeAll(t, cfg.Dir, "marker.*") }, n, false},
		"nothing":      {func(*testing.T, Config) {}, n, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := stopped(t, n, true)
			c.damage(t, cfg)
			before := contents(t, cfg.Dir)
			r, err := Repair(cfg.Dir, quiet())
			if err != nil {
				t.Fatal(err)
			}
			if len(r.Lost) > 0 != c.lost || (r.Copy == "") != (name == "nothing") {
				t.Errorf("%+v", r)
			}
			if r.Copy != "" {
				for _, file := range contents(t, r.Copy) {
					if !slices.Contains(before, file) {
						t.Errorf("%.40s was not there before", file)
					}
				}
			}
			report, err := Verify(cfg.Dir)
			if err != nil || report.Messages < c.least || c.lost && report.Messages == n {
				t.Fatalf("%+v, %v", report, err)
			}
			wantMessages(t, cfg.Dir, report.Messages)
			if (report.Epoch > renewEpochs) != c.lost {
				t.Errorf("epoch %d", report.Epoch)
			}
		})
	}
}
