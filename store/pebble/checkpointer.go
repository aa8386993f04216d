package pebble

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"ramen/store/pebble/journal"
)

// checkpointerEvery is how often the checkpointer runs without being woken.
const checkpointerEvery = 500 * time.Millisecond

// checkpointer makes the journal's next segment, checkpoints the old ones, and deletes ids older than the retention.
type checkpointer struct {
	s        *Store
	log      *slog.Logger
	woken    chan struct{} // 1: run now
	stop     chan struct{}
	ended    chan struct{}
	running  sync.Mutex // held by runOnce, which tests call, too
	spoken   sparse
	began    time.Time // when the current segment was first seen with rows
	segment  uint64
	swept    time.Time
	tried    time.Time // to make a segment, the last time
	throttle throttle
}

func newCheckpointer(s *Store, log *slog.Logger) *checkpointer {
	stop := make(chan struct{})
	return &checkpointer{s: s, log: log, woken: make(chan struct{}, 1), stop: stop, ended: make(chan struct{}), swept: time.Now(), throttle: throttle{stop: stop}}
}

// wake makes the checkpointer run now.
func (k *checkpointer) wake() {
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

func (k *checkpointer) run() {
	defer close(k.ended)
	tick := time.NewTicker(checkpointerEvery)
	defer tick.Stop()
	for {
		select {
		case <-k.stop:
			return
		case <-k.woken:
		case <-tick.C:
		}
		if err := k.runOnce(); err != nil && !errors.Is(err, errStopped) {
			k.s.metrics.backgroundErrors.Inc()
			if n, ok := k.spoken.next(); ok {
				k.log.Error("store: checkpoint failed; retrying", "error", err.Error(), "failures", n)
			}
		}
	}
}

func (k *checkpointer) runOnce() error {
	k.running.Lock()
	defer k.running.Unlock()
	k.prepare()
	if err := k.rotate(); err != nil {
		return err
	}
	for {
		number, since := k.s.journal.Oldest()
		if number == 0 || time.Since(since) < k.s.cfg.CheckpointDelay && !k.s.journalSpace.pressed() {
			break
		}
		began := time.Now()
		k.throttle.begin()
		if err := k.s.checkpoint(number, k.barrier, k.pause); err != nil {
			return err
		}
		k.s.metrics.checkpoint.Observe(time.Since(began).Seconds())
		k.s.journal.Release(number)
		k.prepare()
	}
	if width := time.Duration(k.s.buckets.width) * time.Millisecond; time.Since(k.swept) >= width {
		k.swept = time.Now()
		return k.s.dropBuckets()
	}
	return nil
}

// prepare makes the next segment once the current one is nearly full or old, and tells journalSpace how that went.
func (k *checkpointer) prepare() {
	j := k.s.journal
	if !j.Wanting() && !k.aged(k.s.cfg.CheckpointEvery/2) {
		return
	}
	if k.s.journalSpace.diskIsFull() && time.Since(k.tried) < checkpointerEvery {
		return // every write wakes the checkpointer
	}
	k.tried = time.Now()
	k.throttle.begin()
	err := j.Prepare(func() { k.throttle.pause(k.hurried()) })
	if err != nil && !errors.Is(err, journal.ErrBehind) {
		if n, ok := k.spoken.next(); ok {
			k.log.Warn("store: cannot start a new journal segment; retrying", "error", err.Error(), "times", n)
		}
	}
	k.s.journalSpace.prepared(err)
}

// aged reports whether the current segment has had rows for at least age.
func (k *checkpointer) aged(age time.Duration) bool {
	number := k.s.journal.Current()
	if number != k.segment || !k.s.overlay.has(number) {
		k.segment, k.began = number, time.Now()
		return false
	}
	return time.Since(k.began) >= age
}

// rotate makes the committer go on in the next segment once the current one is CheckpointEvery old.
func (k *checkpointer) rotate() error {
	if !k.aged(k.s.cfg.CheckpointEvery) || !k.s.journal.Ready() {
		return nil
	}
	k.s.commits.rotate.Store(true)
	return k.barrier()
}

// barrier waits until all calls so far are in the journal.
func (k *checkpointer) barrier() error {
	g, err := k.s.commits.barrier()
	if err != nil {
		return err
	}
	select {
	case <-g.done:
		return g.err
	case <-k.stop:
		return errStopped
	}
}

// pause gives way to others (throttle), and makes the journal's next segment if it is needed meanwhile.
func (k *checkpointer) pause() error {
	select {
	case <-k.stop:
		return errStopped
	default:
	}
	if k.s.journal.Wanting() {
		k.prepare()
	}
	k.throttle.pause(k.hurried())
	return nil
}

// hurried reports whether writes may soon have to wait for the checkpointer.
func (k *checkpointer) hurried() bool { return k.s.journalSpace.pressed() || k.s.journal.Pressing() }
