package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
)

// filled is a directory of a stopped store with a message in tables, and one in the journal.
func filled(t *testing.T) Config {
	t.Helper()
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	claim(t, s)
	for i := range uint64(2) {
		if err := appendOne(t.Context(), s, "u", entry(fmt.Sprint("m", i), protocol.PriorityHigh, i+1)); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			checkpoint(t, s)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

// names is what dir has, and contents what of it can be compared.
func contents(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != lockName && !e.IsDir() {
			all = append(all, fmt.Sprintf("%s %x", e.Name(), readFile(t, filepath.Join(dir, e.Name()))))
		}
	}
	return all
}

func removeAll(t *testing.T, dir, pattern string) {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("%s: %v, %v", pattern, found, err)
	}
	for _, path := range found {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFix07DataWithoutWhatNamesItIsRefused takes away what backups skip, a file at a time and all at once. The directory is not
// made a new store; the refusal names what is missing and what to do, and changes nothing.
func TestFix07DataWithoutWhatNamesItIsRefused(t *testing.T) {
	for name, lost := range map[string][]string{
		"marker.manifest.":       {"marker.manifest.*"},
		"marker.format-version.": {"marker.format-version.*"},
		"lacks":                  {"marker.*"},
		"MANIFEST":               {"MANIFEST-*"},
		"journal-":               {"marker.*", "MANIFEST-*", "OPTIONS-*", "*.sst", "*.log"},
		"sstable":                {"*.sst"},
		"000":                    {"marker.*", "MANIFEST-*", "OPTIONS-*", "journal-*"},
	} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			cfg := filled(t)
			for _, pattern := range lost {
				removeAll(t, cfg.Dir, pattern)
			}
			before := contents(t, cfg.Dir)
			cfg.FS = vfs.Default // the engine's own watch of it would not end where it does not open
			s, err := Open(cfg, quiet(), nil)
			if err == nil {
				claim(t, s)
				m, _ := s.Load(t.Context(), owner, "u")
				_ = s.Close()
				t.Fatalf("opened, with %d messages of 2", len(m.Entries))
			}
			if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), cfg.Dir) || !strings.Contains(err.Error(), "ramen store verify") {
				t.Errorf("%v: want one that names %s and what to do", err, name)
			}
			if after := contents(t, cfg.Dir); !slices.Equal(after, before) {
				t.Error("the files were changed")
			}
		})
	}
}

// TestFix07NoFileOfAStoppedStoreThatCountsIsEmpty: tools that leave out empty files copy all of it.
func TestFix07NoFileOfAStoppedStoreThatCountsIsEmpty(t *testing.T) {
	cfg := filled(t)
	empty := func() {
		t.Helper()
		markers, _ := filepath.Glob(filepath.Join(cfg.Dir, "marker.*"))
		for _, path := range markers {
			if len(readFile(t, path)) == 0 {
				t.Errorf("%s is empty", path)
			}
		}
	}
	empty()
	markers, _ := filepath.Glob(filepath.Join(cfg.Dir, "marker.*"))
	for _, path := range markers { // as older releases made them
		writeFile(t, path, nil)
	}
	if err := mustOpen(t, cfg).Close(); err != nil {
		t.Fatal(err)
	}
	empty()
	copied := cfg
	copied.Dir = t.TempDir()
	for _, e := range contents(t, cfg.Dir) {
		name, _, _ := strings.Cut(e, " ")
		if b := readFile(t, filepath.Join(cfg.Dir, name)); len(b) > 0 {
			writeFile(t, filepath.Join(copied.Dir, name), b)
		}
	}
	wantMessages(t, copied.Dir, 2)
}

// TestFix07OnlyAnEmptyDirectoryIsMadeAStore: what else is in it is not ours to write beside; a volume's own folder does not matter.
func TestFix07OnlyAnEmptyDirectoryIsMadeAStore(t *testing.T) {
	cfg := testConfig(t, nil)
	if err := os.Mkdir(filepath.Join(cfg.Dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	open(t, cfg)
	cfg = testConfig(t, nil)
	writeFile(t, filepath.Join(cfg.Dir, "thesis.tex"), []byte("years of work"))
	if _, err := Open(cfg, quiet(), nil); err == nil || !strings.Contains(err.Error(), "thesis.tex") {
		t.Errorf("a directory of something else: %v", err)
	}
}

// TestFix22RemovingTheLockLetsNobodyIn: the file LOCK can be removed by whoever tidies up; the directory stays locked.
func TestFix22RemovingTheLockLetsNobodyIn(t *testing.T) {
	cfg := testConfig(t, nil)
	open(t, cfg)
	if err := os.Remove(filepath.Join(cfg.Dir, lockName)); err != nil {
		t.Fatal(err)
	}
	c := child(t, "append", cfg.Dir)
	end := time.AfterFunc(30*time.Second, func() { _ = c.Process.Kill() }) // one that got in would go on
	defer end.Stop()
	out, err := c.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(string(out), "in use by another ramen process") {
		t.Fatalf("child: %v\n%s", err, out)
	}
}

// lockFS answers err to a lock.
type lockFS struct {
	vfs.FS
	err error
}

func (l lockFS) Lock(string) (io.Closer, error) { return nil, l.err }

// TestFix10ALockThatFailsIsToldForWhatItIs: held by another, or not to be had.
func TestFix10ALockThatFailsIsToldForWhatItIs(t *testing.T) {
	const inUse, cannot = "in use by another ramen process", "cannot be locked"
	for _, c := range []struct {
		err       error
		says, not string
	}{
		{syscall.EAGAIN, inUse, cannot},
		{syscall.EACCES, inUse, "permission"}, // POSIX: fcntl may answer it for a lock that is held
		{&fs.PathError{Op: "open", Path: "data/LOCK", Err: syscall.EACCES}, "cannot be locked: open data/LOCK: permission denied", inUse},
		{&fs.PathError{Op: "open", Path: "data/LOCK", Err: syscall.EROFS}, cannot, inUse},
		{syscall.ENOLCK, cannot, inUse},
	} {
		_, err := Open(testConfig(t, lockFS{vfs.NewMem(), c.err}), quiet(), nil)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), c.not) {
			t.Errorf("%v is told as: %v", c.err, err)
		}
	}
}
