package auth

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"ramen/protocol"
)

// logbook is a log that can be read while it is written.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logbook) count(text string) int { return strings.Count(l.String(), text) }

func testWatcher(t *testing.T) (*Watcher, *logbook) {
	t.Helper()
	log := &logbook{}
	w := NewWatcher(time.Hour, slog.New(slog.NewTextHandler(log, nil)), prometheus.NewRegistry())
	t.Cleanup(func() { w.Close() })
	return w, log
}

// following is a file under a watcher, and what was loaded from it.
type following struct {
	path   string
	loaded chan string
}

func follow(t *testing.T, w *Watcher, path string) *following {
	t.Helper()
	f := &following{path: path, loaded: make(chan string, 16)}
	err := w.follow(whatKeys, []string{path}, func(data [][]byte) error {
		if len(data[0]) == 0 || bytes.HasPrefix(data[0], []byte("bad")) { // empty: seen while it is written in place
			return errors.New("it is bad")
		}
		f.loaded <- string(data[0])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wants waits until want was loaded.
func (f *following) wants(t *testing.T, want string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case got := <-f.loaded:
			if got == want {
				return
			}
		case <-deadline:
			t.Fatalf("%q was not loaded", want)
		}
	}
}

func TestChangesAreNotified(t *testing.T) {
	w, _ := testWatcher(t)
	if w.notify == nil {
		t.Skip("the system notifies of no changes here: the files are looked at alone, which other tests cover")
	}
	dir := t.TempDir()
	f := follow(t, w, write(t, filepath.Join(dir, "a"), []byte("1")))
	f.wants(t, "1")
	write(t, f.path, []byte("2")) // in place
	f.wants(t, "2")
	replace(t, f.path, []byte("3"))
	f.wants(t, "3")
	if err := os.Remove(f.path); err != nil {
		t.Fatal(err)
	}
	write(t, f.path, []byte("4"))
	f.wants(t, "4")
}

// swap points ..data at another directory, as Kubernetes does for secrets.
func swap(t *testing.T, dir, version, text string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, version, "key"), []byte(text))
	tmp := filepath.Join(dir, "..data_tmp")
	if err := errors.Join(os.Symlink(version, tmp), os.Rename(tmp, filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
}

func TestSwappedLinksAreNotified(t *testing.T) {
	w, _ := testWatcher(t)
	if w.notify == nil {
		t.Skip("the system notifies of no changes here: the files are looked at alone, which other tests cover")
	}
	dir := t.TempDir()
	swap(t, dir, "..1", "1")
	path := filepath.Join(dir, "key")
	if err := os.Symlink(filepath.Join("..data", "key"), path); err != nil {
		t.Fatal(err)
	}
	f := follow(t, w, path)
	f.wants(t, "1")
	swap(t, dir, "..2", "2")
	f.wants(t, "2")
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	swap(t, dir, "..3", "3")
	f.wants(t, "3")
}

func TestIntervalFindsWhatIsNotNotified(t *testing.T) {
	w := NewWatcher(minReloadInterval, slog.New(slog.DiscardHandler), nil)
	defer w.Close()
	// The file is a link to another directory, which is not watched.
	target := write(t, filepath.Join(t.TempDir(), "target"), []byte("1"))
	path := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	f := follow(t, w, path)
	f.wants(t, "1")
	for i := range 3 { // of the same size, and within the grain of the file's time
		text := fmt.Sprint(i + 2)
		write(t, target, []byte(text))
		f.wants(t, text)
	}
}

func TestReplacedDirectoryIsFollowed(t *testing.T) {
	w, _ := testWatcher(t)
	parent := t.TempDir()
	dir := filepath.Join(parent, "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f := follow(t, w, write(t, filepath.Join(dir, "a"), []byte("1")))
	f.wants(t, "1")
	if err := errors.Join(os.Rename(dir, filepath.Join(parent, "old")), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	write(t, f.path, []byte("2"))
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	f.wants(t, "2")
	if w.notify == nil {
		return
	}
	write(t, f.path, []byte("3"))
	f.wants(t, "3")
}

// value is what a gauge shows.
func value(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}

// replace writes a file beside path, and renames it.
func replace(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.Rename(write(t, path+".tmp", data), path); err != nil {
		t.Fatal(err)
	}
}

func TestBrokenFileKeepsTheOldAndIsLoggedOnce(t *testing.T) {
	w, log := testWatcher(t)
	f := follow(t, w, write(t, filepath.Join(t.TempDir(), "a"), []byte("1")))
	f.wants(t, "1")
	broken := w.metrics.broken.WithLabelValues(whatKeys)
	for _, step := range []struct {
		name   string
		change func()
		errors int // lines of the log by then
		broken float64
	}{
		{"bad", func() { replace(t, f.path, []byte("bad")) }, 1, 1},
		{"missing", func() { os.Remove(f.path) }, 2, 1},
		{"too large", func() { replace(t, f.path, make([]byte, maxFile+1)) }, 3, 1},
		{"as it was", func() { replace(t, f.path, []byte("1")) }, 3, 0},
	} {
		step.change()
		for range 3 {
			if err := w.Check(); (err != nil) != (step.broken > 0) {
				t.Fatalf("%s: Check answers %v", step.name, err)
			}
		}
		if n := log.count("level=ERROR"); n != step.errors || value(t, broken) != step.broken {
			t.Fatalf("%s: %d errors, %v broken; log:\n%s", step.name, n, value(t, broken), log)
		}
	}
	if len(f.loaded) != 0 {
		t.Fatalf("%q was loaded", <-f.loaded)
	}
}

func TestUnchangedFileIsNotLoadedAgain(t *testing.T) {
	w, _ := testWatcher(t)
	f := follow(t, w, write(t, filepath.Join(t.TempDir(), "a"), []byte("1")))
	f.wants(t, "1")
	if err := os.Chtimes(f.path, time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(f.loaded) != 0 || !w.sources[0].untouched() {
		t.Fatal("it was loaded again, or counts as touched")
	}
}

func TestClosedWatcherFollowsNothing(t *testing.T) {
	w, _ := testWatcher(t)
	path := write(t, filepath.Join(t.TempDir(), "a"), []byte("1"))
	f := follow(t, w, path)
	f.wants(t, "1")
	w.Close()
	w.Close()
	if err := w.follow(whatKeys, []string{path}, func([][]byte) error { return nil }); err == nil {
		t.Fatal("a closed watcher follows")
	}
	var none *Watcher
	if err := errors.Join(none.Check(), none.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestReloadFlushesWhatWasVerified(t *testing.T) {
	w, log := testWatcher(t)
	k := keyFor(t, "EdDSA")
	cfg := k.config(t)
	tokens, err := NewTokens(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	old, fresh := mint(t, k.signing, grant()), mint(t, keyFor(t, "ES256").signing, grant())
	for range 2 {
		if _, err := tokens.Verify(old); err != nil {
			t.Fatal(err)
		}
	}
	write(t, cfg.PublicKeyFile, []byte("broken"))
	if err := w.Check(); err == nil || !strings.Contains(err.Error(), cfg.PublicKeyFile) {
		t.Fatal(err)
	}
	if _, err := tokens.Verify(old); err != nil {
		t.Fatalf("a broken file took the old keys out of force: %v", err)
	}
	write(t, cfg.PublicKeyFile, keyFor(t, "ES256").public)
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	_, err = tokens.Verify(old)
	refused(t, err, protocol.CodeUnauthenticated, `alg is "EdDSA"; it should be one of ES256`)
	if _, err := tokens.Verify(fresh); err != nil {
		t.Fatal(err)
	}
	if body := string(k.public[30:60]); strings.Contains(log.String(), body) {
		t.Fatalf("a key is in the log:\n%s", log)
	}
}

// TestReloadsDoNotDisturbVerification changes keys under load: each answer must be right for one of the two.
func TestReloadsDoNotDisturbVerification(t *testing.T) {
	w, _ := testWatcher(t)
	one, two := keyFor(t, "EdDSA"), keyFor(t, "ES256")
	cfg := one.config(t)
	tokens, err := NewTokens(cfg, w)
	if err != nil {
		t.Fatal(err)
	}
	keys, key := oneKey(t, ScopeRead)
	grants := []string{mint(t, one.signing, grant()), mint(t, two.signing, grant())}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := tokens.Verify(grants[i%2])
				if err == nil && c.User != "u1" {
					t.Errorf("user is %q", c.User)
				}
				if err := keys.Check("Bearer "+key, ScopeRead); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 20 {
		now := []testKey{two, one}[i%2]
		replace(t, cfg.PublicKeyFile, now.public)
		if err := w.Check(); err != nil {
			t.Fatal(err)
		}
		if _, err := tokens.Verify(mint(t, now.signing, grant())); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
	}
	close(stop)
	wg.Wait()
}
