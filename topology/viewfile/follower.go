package viewfile

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	lookEvery = time.Second // at the file
	maxFile   = 8 << 20     // bytes
)

// Follower has a file in force, and reads it again where it has changed.
type Follower struct {
	path   string
	shards int
	log    *slog.Logger
	stop   context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	text    []byte        // guarded by mu: that was read last, good or not
	now     *File         // guarded by mu
	changed chan struct{} // guarded by mu: closed when now changes
	wrong   error         // guarded by mu: why the file as it is now is not in force
}

// Read reads the file at path once.
func Read(path string, shards int) (*File, error) {
	b, err := read(path)
	if err != nil {
		return nil, err
	}
	return Parse(b, shards)
}

// Follow reads the file at path, of a cluster with so many shards, and follows it until Close.
func Follow(path string, shards int, log *slog.Logger) (*Follower, error) {
	ctx, stop := context.WithCancel(context.Background())
	f := &Follower{path: path, shards: shards, log: log, stop: stop, done: make(chan struct{}), changed: make(chan struct{})}
	if err := f.Reload(); err != nil {
		stop()
		return nil, err
	}
	go f.run(ctx)
	return f, nil
}

// Close ends it. The file that is in force stays.
func (f *Follower) Close() {
	f.stop()
	<-f.done
}

// Path is where the file is.
func (f *Follower) Path() string { return f.path }

// Now is the file that is in force, and a channel that is closed when another is.
func (f *Follower) Now() (*File, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.changed
}

// Err is why the file as it stands is not in force; nil: it is.
func (f *Follower) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}

func (f *Follower) run(ctx context.Context) {
	defer close(f.done)
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = f.Reload() // it is told, once
		}
	}
}

// Reload reads the file now, and answers why it is not in force.
func (f *Follower) Reload() error {
	b, err := read(f.path)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil && f.text != nil && bytes.Equal(b, f.text) {
		return f.wrong
	}
	var next *File
	if err == nil {
		f.text = b
		next, err = Parse(b, f.shards)
	}
	if err != nil {
		err = fmt.Errorf("viewfile: %s is not in force: %w", f.path, err)
		if f.now != nil && (f.wrong == nil || f.wrong.Error() != err.Error()) {
			f.log.Error("the view file cannot be used; the one before stays in force", "file", f.path, "error", err)
		}
		f.wrong = err
		return err
	}
	if f.now != nil {
		f.log.Info("the view file has changed", "file", f.path, "gateways", len(next.Members))
	}
	f.now, f.wrong = next, nil
	close(f.changed)
	f.changed = make(chan struct{})
	return nil
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return b, err
}
