package cassandra

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/protocol"
	"ramen/store"
)

// Store is a connection to a cluster. Open makes it.
type Store struct {
	// immutable
	cfg       config
	log       *slog.Logger
	session   *gocql.Session
	metrics   *metrics
	breakers  *breakers
	retention time.Duration
	slot      time.Duration
	slack     time.Duration
	tracer    gocql.Tracer // of reads of mailboxes, for tests; nil: none
	shards    []shard

	index    index
	forgets  forgets
	workers  workers
	gate     gate           // appends
	loads    chan struct{}  // of capacity Config.loads: a token each
	requests sync.WaitGroup // requests of reads that nobody waits for any more

	identity atomic.Pointer[store.Identity]
	maxTTLMS atomic.Int64 // the longest life of a message that any process has seen
	nonce    atomic.Int64
	present  stamps // of what Renew writes
	slowRead quantile
	ready    readiness
	flusher  sync.WaitGroup // of writeForgets
	ended    chan struct{}  // closed by Close
	deadline atomic.Pointer[deadline]

	closeMu sync.RWMutex
	closed  bool           // guarded by closeMu
	calls   sync.WaitGroup // under way; added to with closeMu held, or while another is counted
}

// shard is what this process knows of a shard.
type shard struct {
	claimed atomic.Pointer[store.FencedError] // the last claim that was seen; nil: none
	mine    atomic.Uint64                     // the epoch of the last claim that was made here
	again   atomic.Uint64                     // how often that epoch was claimed once more
	counter atomic.Uint64                     // of the time stamps of devices
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Shared  = (*Store)(nil)
	_ store.Readier = (*Store)(nil)
)

func (s *Store) init() {
	s.index.init()
	s.forgets.init()
	s.workers.init()
	s.gate.mostCalls, s.gate.mostBytes = int64(s.cfg.inFlight), int64(s.cfg.inFlightMiB)<<20
	s.loads = make(chan struct{}, s.cfg.loads)
	s.ended = make(chan struct{})
	s.nonce.Store(rand.Int64() >> 1)
}

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return *s.identity.Load() }

// enter begins a call; s.calls.Done ends it where it answered nil.
func (s *Store) enter() error {
	s.closeMu.RLock()
	defer s.closeMu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// each runs do for each element of a call, and answers as package store says.
func (s *Store) each(ctx context.Context, kind callKind, n int, do func(i int) error) []error {
	err := s.enter()
	if err == nil {
		defer s.calls.Done()
		err = ctx.Err()
	}
	if err != nil {
		return repeat(fmt.Errorf("store/cassandra: %s: %w", callNames[kind], err), n)
	}
	return s.workers.each(n, func(i int) error {
		began := time.Now()
		err := do(i)
		s.metrics.observe(kind, began, err)
		return err
	})
}

// repeat is err for each of n; nil where there is none.
func repeat(err error, n int) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// fence refuses an owner of whom a later one is known here. Others are not found out: Cassandra does not fence.
func (s *Store) fence(at store.Owner) error {
	if int(at.Shard) >= len(s.shards) {
		return fmt.Errorf("there is no shard %d: there are %d", at.Shard, len(s.shards))
	}
	if known := s.shards[at.Shard].claimed.Load(); known != nil && known.Epoch > at.Epoch {
		return known
	}
	return nil
}

// saw notes a claim that the store has.
func (s *Store) saw(id protocol.ShardID, epoch protocol.Epoch, owner string) {
	p := &s.shards[id].claimed
	claim := &store.FencedError{Epoch: epoch, Owner: owner}
	for last := p.Load(); (last == nil || last.Epoch < epoch) && !p.CompareAndSwap(last, claim); last = p.Load() {
	}
}

// wrap says what failed for whom.
func (s *Store) wrap(verb string, user protocol.UserID, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store/cassandra: %s of user %q: %w", verb, user, err)
}

// Close implements store.Store. What was answered is durable already, but for what was forgotten: that is written now.
func (s *Store) Close() error {
	s.closeMu.Lock()
	closed := s.closed
	s.closed = true
	s.closeMu.Unlock()
	if closed {
		return nil
	}
	s.calls.Wait()
	close(s.ended)
	s.flusher.Wait()
	s.flushOlder(time.Now().Add(time.Hour)) // all
	s.requests.Wait()
	s.workers.end()
	s.session.Close()
	s.metrics.all.Unregister(s.metrics.registerer)
	return nil
}

func nonceBytes(n int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
