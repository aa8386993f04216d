package registry

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// The times of a mirror.
const (
	readTimeout = 2 * time.Second        // of All
	retryPause  = 200 * time.Millisecond // behind a failure
)

// Mirror follows all keys of a registry.
type Mirror struct {
	b      Backend
	log    *slog.Logger
	newest atomic.Pointer[reading]
	failed atomic.Pointer[error] // why it is not followed now; nil: it is
	stop   context.CancelFunc
	done   chan struct{}
	once   sync.Once
	first  chan struct{} // closed with the first reading
	seen   atomic.Int64  // when the registry was last heard of, in Unix ns
	view   atomic.Int64  // when its view came, in Unix ns
}

type reading struct {
	snapshot Snapshot
	next     chan struct{} // closed once there is a newer one
}

// NewMirror follows b until Close.
func NewMirror(b Backend, log *slog.Logger) *Mirror {
	ctx, stop := context.WithCancel(context.Background())
	m := &Mirror{b: b, log: log, stop: stop, done: make(chan struct{}), first: make(chan struct{})}
	m.newest.Store(&reading{next: make(chan struct{})})
	go m.run(ctx)
	return m
}

// Close ends it.
func (m *Mirror) Close() {
	m.stop()
	<-m.done
}

// Await waits for the first reading.
func (m *Mirror) Await(ctx context.Context) error {
	select {
	case <-m.first:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Snapshot is all keys as they were last heard of, which is not to be changed; and a channel that is closed when there is a newer one. Its
// Entries are nil before the first reading.
func (m *Mirror) Snapshot() (Snapshot, <-chan struct{}) {
	r := m.newest.Load()
	return r.snapshot, r.next
}

// Seen is when the registry was last heard of; zero: never.
func (m *Mirror) Seen() time.Time {
	if ns := m.seen.Load(); ns != 0 {
		return time.Unix(0, ns)
	}
	return time.Time{}
}

// Err is why the registry is not followed now; nil: it is.
func (m *Mirror) Err() error {
	if err := m.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// ViewAge is how long ago the view came that there is now.
func (m *Mirror) ViewAge() time.Duration { return time.Since(time.Unix(0, m.view.Load())) }

func (m *Mirror) run(ctx context.Context) {
	defer close(m.done)
	told := "" // the failure that was logged last
	for ctx.Err() == nil {
		before := m.Seen()
		err := m.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		m.failed.Store(&err)
		if !m.Seen().Equal(before) {
			told = ""
		}
		if text := err.Error(); text != told {
			told = text
			m.log.Warn("the registry could not be followed; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPause):
		}
	}
}

// follow reads all, and then what changes, until it cannot go on.
func (m *Mirror) follow(ctx context.Context) error {
	read, cancel := context.WithTimeout(ctx, readTimeout)
	all, err := m.b.All(read)
	cancel()
	if err != nil {
		return err
	}
	m.put(all)
	return m.b.Watch(ctx, all, m.alive, func(c Changes) {
		last := m.newest.Load().snapshot
		m.put(last.after(c))
	})
}

func (m *Mirror) alive() { m.seen.Store(time.Now().UnixNano()) }

func (m *Mirror) put(s Snapshot) {
	m.alive()
	m.failed.Store(nil)
	last := m.newest.Swap(&reading{s, make(chan struct{})})
	if last.snapshot.Entries[ViewKey].Modified != s.Entries[ViewKey].Modified {
		m.view.Store(time.Now().UnixNano())
	}
	close(last.next)
	m.once.Do(func() { close(m.first) })
}

// after is s with changes made.
func (s Snapshot) after(c Changes) Snapshot {
	next := Snapshot{Entries: maps.Clone(s.Entries), At: c.At}
	for _, x := range c.Changes {
		if x.Gone {
			delete(next.Entries, x.Key)
		} else {
			next.Entries[x.Key] = x.Entry
		}
	}
	return next
}
