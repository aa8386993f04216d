package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"
)

// quietTime is how long after a notification the files are read: those of one change (a certificate and its key) mostly
// come together, and half of them would be refused.
const quietTime = 50 * time.Millisecond

// Watcher follows files of keys and certificates, and loads them again when what is in them changes. It watches their
// directories, since files are replaced by renaming (editors, Kubernetes' ..data link), and besides looks at the files
// themselves at every interval, for file systems that notify nobody. Close it after what follows files with it.
//
// A nil *Watcher loads files once.
type Watcher struct {
	// immutable
	log     *slog.Logger
	metrics *metrics
	notify  *fsnotify.Watcher // nil where the system has no more watches to give
	cancel  context.CancelFunc
	done    chan struct{} // closed when run has returned

	mu      sync.Mutex // guards what follows; held while files are read and loaded
	closed  bool
	sources []*source
}

// source is files that make sense together only, and what loads them.
type source struct {
	what   string // label of metrics
	files  []*followedFile
	load   func(data [][]byte) error
	broken string // the error that was last logged; empty: what is in the files is in force
}

// NewWatcher starts following, looking at the files every interval (at least 100 ms). A nil registerer is fine.
func NewWatcher(interval time.Duration, log *slog.Logger, r prometheus.Registerer) *Watcher {
	ctx, cancel := context.WithCancel(context.Background())
	w := &Watcher{log: log, metrics: newMetrics(r), cancel: cancel, done: make(chan struct{})}
	var err error
	if w.notify, err = fsnotify.NewWatcher(); err != nil {
		w.notify = nil
		log.Warn("the file system sends no notifications; key files are checked at an interval only", "interval", interval, "cause", err)
	}
	go w.run(ctx, max(interval, minReloadInterval))
	return w
}

// meters is where what uses w counts.
func (w *Watcher) meters() *metrics {
	if w == nil {
		return nil
	}
	return w.metrics
}

// logger is where what uses w logs.
func (w *Watcher) logger() *slog.Logger {
	if w == nil {
		return slog.New(slog.DiscardHandler)
	}
	return w.log
}

// follow loads files now, and answers what was wrong with them; from then on it loads them whenever one has changed.
// load is called by one goroutine at a time; if it fails it must have changed nothing.
func (w *Watcher) follow(what string, paths []string, load func(data [][]byte) error) error {
	s := &source{what: what, load: load}
	for _, p := range paths {
		s.files = append(s.files, &followedFile{path: p})
	}
	if w == nil {
		_, err := s.reload()
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return errors.New("auth: follow " + paths[0] + ": watcher is closed")
	}
	s.subscribe(w.notify) // before reading, so that no change falls in between
	if _, err := s.reload(); err != nil {
		return err
	}
	w.sources = append(w.sources, s)
	return nil
}

// Check looks at all files at once, loads those that have changed, and answers what is wrong with those that are not in force.
func (w *Watcher) Check() error {
	if w == nil {
		return nil
	}
	return w.look(true)
}

// Close stops following. What was loaded stays in force.
func (w *Watcher) Close() error {
	if w == nil {
		return nil
	}
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	<-w.done
	return nil
}

// run is the one goroutine.
func (w *Watcher) run(ctx context.Context, interval time.Duration) {
	defer close(w.done)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var events chan fsnotify.Event
	var failures chan error
	if w.notify != nil {
		events, failures = w.notify.Events, w.notify.Errors
		defer w.notify.Close()
	}
	var quiet <-chan time.Time // set while notifications wait to be looked into
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if quiet == nil && e.Op != fsnotify.Chmod {
				quiet = time.After(quietTime)
			}
		case err := <-failures: // a queue that ran over; the interval finds what is missed
			w.log.Debug("a notification about a key file was lost", "cause", err)
		case <-quiet:
			quiet = nil
			w.look(false)
		case <-tick.C:
			w.look(false)
		}
	}
}

// look loads the sources that have changed. Unless closely, a file whose inode, size and time are the same is not read.
func (w *Watcher) look(closely bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var wrong []error
	for _, s := range w.sources {
		if !closely && s.untouched() {
			continue
		}
		s.subscribe(w.notify) // a directory may have been replaced
		changed, err := s.reload()
		if err != nil {
			wrong = append(wrong, err)
		}
		w.tellLocked(s, changed, err)
	}
	return errors.Join(wrong...)
}

// tellLocked logs and counts the outcome of a reload, each trouble once.
func (w *Watcher) tellLocked(s *source, changed bool, err error) {
	switch {
	case err != nil && err.Error() != s.broken:
		w.log.Error("new keys or certificates could not be loaded; the old ones stay in use", "what", s.what, "file", s.files[0].path, "cause", err)
		w.metrics.reloaded(s.what, err)
		if s.broken == "" {
			w.metrics.broken.WithLabelValues(s.what).Inc()
		}
		s.broken = err.Error()
	case err == nil && (changed || s.broken != ""):
		w.log.Info("keys or certificates loaded", "what", s.what, "file", s.files[0].path)
		w.metrics.reloaded(s.what, nil)
		if s.broken != "" {
			w.metrics.broken.WithLabelValues(s.what).Dec()
		}
		s.broken = ""
	}
}

// subscribe asks for notifications of the directories of s; those that exist already are kept.
func (s *source) subscribe(n *fsnotify.Watcher) {
	if n == nil {
		return
	}
	for _, f := range s.files {
		_ = n.Add(filepath.Dir(f.path)) // where it fails the interval finds the change
	}
}

func (s *source) untouched() bool {
	for _, f := range s.files {
		if !f.untouched() {
			return false
		}
	}
	return true
}

// reload reads the files, and loads them if what is in them is not what was last loaded.
func (s *source) reload() (changed bool, err error) {
	data := make([][]byte, len(s.files))
	sums := make([][sha256.Size]byte, len(s.files))
	for i, f := range s.files {
		if data[i], err = f.read(); err != nil {
			return false, err
		}
		sums[i] = sha256.Sum256(data[i])
		changed = changed || sums[i] != f.sum
	}
	if !changed {
		return false, nil
	}
	if err := s.load(data); err != nil {
		return false, err
	}
	for i, f := range s.files {
		f.sum = sums[i]
	}
	return true, nil
}
