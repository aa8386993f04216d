package tiered

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
	"ramen/store"
)

// Truth is a store of every message that takes a cache before it.
type Truth interface {
	store.Store
	store.Shared
	store.CacheMarker
}

// Cache is a store that mailboxes are cached in. It compares last positions, and refuses calls of an older epoch.
type Cache interface {
	store.Store
	store.Shared
	store.Replacer
}

// Config is how a tiered store works. The zero value is not valid: see Default.
type Config struct {
	Shards  int
	Timeout time.Duration // of a call of the cache: beyond it the cache counts as lost
	Loads   int           // most mailboxes that are read from the truth at a time
	// MailboxBytes is the most that a cached mailbox has, about: a larger one is read from the truth each time, since the cache would take
	// longer than Timeout with it, and be lost for all others by that.
	MailboxBytes int
	Retry        time.Duration // after which a generation is begun again; doubled by each failure in a row, up to RetryMax
	// RetryMax is also how long a generation has to last for the next failure to be the first again.
	RetryMax   time.Duration
	Log        *slog.Logger
	Registerer prometheus.Registerer
}

// Default is the configuration for so many shards.
func Default(shards int) Config {
	return Config{Shards: shards, Timeout: 100 * time.Millisecond, Loads: 64, MailboxBytes: 1 << 20, Retry: time.Second, RetryMax: 30 * time.Second}
}

// Store is a truth with a cache before it.
type Store struct {
	// immutable
	cfg     Config
	truth   Truth
	cache   Cache
	log     *slog.Logger
	metrics *metrics
	shards  []shard

	loads     chan struct{} // holds a token for each read of the truth under way
	histories histories
	cacheOff  outage
	unrevoked atomic.Int32 // shards whose mark could not be taken back yet

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	running sync.WaitGroup
}

var (
	_ store.Store   = (*Store)(nil)
	_ store.Shared  = (*Store)(nil)
	_ store.Readier = (*Store)(nil)
)

// New puts cache before truth. What it answers closes both when it is closed; where it fails, it has closed neither.
func New(truth Truth, cache Cache, cfg Config) (store.Store, error) {
	if cfg.Shards < 1 || cfg.Timeout <= 0 || cfg.Loads < 1 || cfg.MailboxBytes < 1 || cfg.Retry <= 0 || cfg.RetryMax < cfg.Retry {
		return nil, fmt.Errorf("store/tiered: %d shards, a timeout of %v, %d loads, mailboxes of %d bytes, retries from %v to %v: all must be positive, and rising",
			cfg.Shards, cfg.Timeout, cfg.Loads, cfg.MailboxBytes, cfg.Retry, cfg.RetryMax)
	}
	if !cache.Fences() {
		return nil, errors.New("store/tiered: the cache does not refuse older epochs: a late owner's writes would be trusted")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("store/tiered: register metrics: %w", err)
	}
	s := &Store{cfg: cfg, truth: truth, cache: cache, log: cfg.Log, metrics: m, shards: make([]shard, cfg.Shards), loads: make(chan struct{}, cfg.Loads)}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.histories.s, s.cacheOff.s = s, s
	for i := range s.shards {
		s.shards[i].id, s.shards[i].s = protocol.ShardID(i), s
	}
	m.shards[stateUnknown].Set(float64(cfg.Shards))
	s.running.Go(s.beginGenerations)
	if scanner, ok := truth.(store.ExpiryScanner); ok {
		return &scanning{s, scanner}, nil
	}
	return s, nil
}

// scanning is a Store whose truth can name users with something that time has ended.
type scanning struct {
	*Store
	store.ExpiryScanner
}

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return s.truth.Identity() }

// LastEpoch implements store.Store.
func (s *Store) LastEpoch(ctx context.Context) (protocol.Epoch, error) { return s.truth.LastEpoch(ctx) }

// Claim implements store.Store. The cache is claimed with the first Load: by then the lease of an earlier owner has ended.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	errs := s.truth.Claim(ctx, shards, epoch, owner)
	for i, id := range shards {
		if (errs == nil || errs[i] == nil) && int(id) < len(s.shards) {
			s.shards[id].claimed(epoch, owner)
		}
	}
	return errs
}

// Renew implements store.Shared.
func (s *Store) Renew(ctx context.Context, owner string, ttl time.Duration) error {
	return s.truth.Renew(ctx, owner, ttl)
}

// Claims implements store.Shared.
func (s *Store) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, []error) {
	return s.truth.Claims(ctx, shards)
}

// Fences implements store.Shared.
func (s *Store) Fences() bool { return s.truth.Fences() }

// Ready implements store.Readier. A cache that is away is no reason not to be.
func (s *Store) Ready() error {
	if r, ok := s.truth.(store.Readier); ok {
		return r.Ready()
	}
	return nil
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.stop()
	s.running.Wait()
	s.metrics.all.Unregister(s.cfg.Registerer)
	return errors.Join(s.cache.Close(), s.truth.Close())
}

// shardOf is the shard that a call is for; nil: it is not known, or owned at another epoch, and only the truth can say what becomes of
// the call.
func (s *Store) shardOf(at store.Owner) *shard {
	if int(at.Shard) >= len(s.shards) {
		return nil
	}
	return &s.shards[at.Shard]
}

// cacheContext is for one call of the cache.
func (s *Store) cacheContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.cfg.Timeout)
}
