package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/pebble/journal"
)

// Store keeps mailboxes in a directory. Make one with Open.
type Store struct {
	// immutable
	cfg          Config
	db           *engine.DB
	lock         *dirLock
	identity     store.Identity
	metrics      *metrics
	registry     prometheus.Registerer
	commits      *committer
	diskSpace    *diskSpace
	opened       time.Time
	maxScan      int
	creating     bool // the directory is new
	renewing     bool // it was set back
	secret       uint32
	format       byte  // that the directory was found with
	memTable     int64 // bytes
	journal      *journal.Journal
	overlay      *overlay
	checkpointer *checkpointer
	log          *slog.Logger

	// each under its own lock
	epochs       epochs
	buckets      buckets
	reads        reads
	scans        scans
	journalSpace journalSpace
	slow         sparse
	backups      sync.Mutex // held by the one under way
}

var (
	_ store.Store         = (*Store)(nil)
	_ store.ExpiryScanner = (*Store)(nil)
	_ store.Admitter      = (*Store)(nil)
	_ store.Backuper      = (*Store)(nil)
	_ store.Enumerator    = (*Store)(nil)
	_ store.Adopter       = (*Store)(nil)
	_ store.Retirer       = (*Store)(nil)
)

// Open opens the store in cfg.Dir, or makes it there. The directory belongs to this process until Close. A nil registerer
// registers nowhere.
func Open(cfg Config, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.fill()
	s := &Store{cfg: cfg, registry: reg, opened: cfg.Now(), maxScan: maxScan, log: log, overlay: newOverlay()}
	s.reads.slots = make(chan struct{}, cfg.MaxReads)
	if err := s.open(log); err != nil {
		return nil, fmt.Errorf("store/pebble: open %s: %w", cfg.Dir, err)
	}
	go s.commits.run()
	go s.checkpointer.run()
	return s, nil
}

// fatal ends the process: nobody knows what the disk has.
func (s *Store) fatal(err error) { engineLog{s.log, s.cfg.Exit}.Fatalf("%v", err) }

func (s *Store) slowWrite(took time.Duration) {
	s.metrics.diskSlow.Inc()
	if n, ok := s.slow.next(); ok {
		s.log.Warn("store: the disk is slow", "write", took, "times", n)
	}
}

// nowMS is the time by the clock of the start and what has passed since: a step of the clock does not age ids.
func (s *Store) nowMS() int64 {
	now := s.cfg.Now()
	return s.opened.Add(now.Sub(s.opened)).UnixMilli()
}

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return s.identity }

// LastEpoch implements store.Store.
func (s *Store) LastEpoch(context.Context) (protocol.Epoch, error) { return s.epochs.highest(), nil }

// Admit implements store.Admitter.
func (s *Store) Admit(p protocol.Priority) error {
	if !validPriority(p) {
		return fmt.Errorf("store/pebble: admit: unknown priority %d", p)
	}
	return s.diskSpace.admit(p, 0)
}

// Close writes what is left and ends the store. Where the disk does not answer it gives up, and leaves files and lock to
// the end of the process.
func (s *Store) Close() error {
	reading := s.reads.close()
	if reading == nil {
		return nil
	}
	s.metrics.all.Unregister(s.registry)
	close(s.checkpointer.stop)
	if err := s.commits.close(s.cfg.CloseTimeout); err != nil {
		return fmt.Errorf("store/pebble: close %s: %w", s.cfg.Dir, err)
	}
	t := time.NewTimer(s.cfg.CloseTimeout)
	defer t.Stop()
	select {
	case <-reading:
	case <-t.C:
		return fmt.Errorf("store/pebble: close %s: reads: %w for %v", s.cfg.Dir, ErrStalled, s.cfg.CloseTimeout)
	}
	return s.closeFiles(t.C)
}

// closeFiles waits for the engine's flush and compaction under way, until over. What is not in the engine stays in the journal.
func (s *Store) closeFiles(over <-chan time.Time) error {
	ended := make(chan error, 1)
	go func() { // outlives Close where the disk hangs
		<-s.checkpointer.ended
		ended <- errors.Join(s.commits.left, s.journal.Close(), s.db.Close(), s.lock.close())
	}()
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("store/pebble: close %s: %w", s.cfg.Dir, err)
		}
		return nil
	case <-over:
		return fmt.Errorf("store/pebble: close %s: files: %w for %v", s.cfg.Dir, ErrStalled, s.cfg.CloseTimeout)
	}
}
