package tiered

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// state is where the cache of a shard stands.
type state uint8

const (
	stateUnknown  state = iota // claimed, and its mark not read
	stateTrusted               // of one generation
	stateRevoking              // the mark is being taken back
	stateOff                   // the mark says none
	states
)

var stateNames = [states]string{"unknown", "trusted", "revoking", "off"}

// shard is what is known of the cache of one shard, for its present owner here.
type shard struct {
	s  *Store
	id protocol.ShardID

	opening sync.Mutex // held across I/O by who reads the mark, and who begins a generation

	mu sync.Mutex
	// guarded by mu
	at        store.Owner // epoch 0: not claimed here
	owner     string
	fenced    bool // the cache knows a newer owner, and is no more this one's to use
	state     state
	mark      store.CacheMark       // of stateTrusted
	prefix    string                // of the names of its users
	since     time.Time             // of stateTrusted
	revoked   map[*waiting]struct{} // for revoking to have an end; at most mostWaiting
	loads     map[protocol.UserID]*loading
	appending map[protocol.UserID]int // appends under way
}

// claimed notes a claim that the truth has.
func (sh *shard) claimed(epoch protocol.Epoch, owner string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.at.Epoch >= epoch {
		return
	}
	sh.at, sh.owner, sh.fenced = store.Owner{Shard: sh.id, Epoch: epoch}, owner, false
	if sh.state != stateRevoking { // that goes on, for the new owner
		sh.setLocked(stateUnknown)
	}
}

func (sh *shard) setLocked(to state) {
	sh.s.metrics.shards[sh.state].Add(-1)
	sh.s.metrics.shards[to].Add(1)
	sh.state = to
}

// trust is under what a call uses the cache.
type trust struct {
	at     store.Owner
	mark   store.CacheMark
	prefix string
}

// user is the name under which a user's mailbox is cached.
func (t *trust) user(u protocol.UserID) protocol.UserID { return protocol.UserID(t.prefix) + u }

// trusted answers under what the cache may be used by an owner at at; ok is false where it may not.
func (sh *shard) trusted(at store.Owner) (t trust, ok bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.trustedLocked(at)
}

func (sh *shard) trustedLocked(at store.Owner) (t trust, ok bool) {
	if sh.state != stateTrusted || sh.at != at {
		return t, false
	}
	return trust{at, sh.mark, sh.prefix}, true
}

// open reads the mark of a shard that was claimed, and claims it at the cache: from then on no earlier owner writes there.
func (sh *shard) open(ctx context.Context, at store.Owner) error {
	sh.mu.Lock()
	known := sh.at != at || sh.state != stateUnknown
	sh.mu.Unlock()
	if known {
		return nil
	}
	sh.opening.Lock()
	defer sh.opening.Unlock()
	sh.mu.Lock()
	owner := sh.owner
	known = sh.at != at || sh.state != stateUnknown
	sh.mu.Unlock()
	if known {
		return nil
	}
	history, cacheErr := sh.claimCache(ctx, at, owner)
	marks, err := sh.s.truth.CacheMarks(ctx, []protocol.ShardID{sh.id})
	if err != nil {
		return fmt.Errorf("store/tiered: read the cache's mark of shard %d: %w", sh.id, err)
	}
	m := marks[0]
	switch {
	case m.Generation == 0:
		sh.opened(at, stateOff, m)
		sh.s.wake()
	case cacheErr == nil && m.History == history:
		sh.opened(at, stateTrusted, m)
	default:
		sh.revoke(ctx, at, 0, cmp.Or(cacheErr, errHistory), nil)
	}
	return nil
}

// claimCache claims the shard at the cache, and answers its history then.
func (sh *shard) claimCache(ctx context.Context, at store.Owner, owner string) (history string, err error) {
	if sh.s.cacheOff.is() {
		return "", errCacheOff
	}
	ctx, cancel := sh.s.cacheContext(ctx)
	defer cancel()
	ids := []protocol.ShardID{sh.id}
	if err := errors.Join(sh.s.cache.Claim(ctx, ids, at.Epoch, owner)...); err != nil {
		return "", err
	}
	claims, errs := sh.s.cache.Claims(ctx, ids)
	switch {
	case errs != nil:
		return "", errs[0]
	case claims[0].Epoch != at.Epoch || claims[0].History == "":
		return "", fmt.Errorf("the cache has the claim of epoch %d by %q", claims[0].Epoch, claims[0].Owner)
	}
	return claims[0].History, nil
}

// opened notes the mark that was read or written, unless the shard has a newer owner.
func (sh *shard) opened(at store.Owner, to state, m store.CacheMark) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.at != at || sh.state != stateUnknown && sh.state != stateOff {
		return false
	}
	sh.setLocked(to)
	if to == stateTrusted {
		sh.mark, sh.since = m, time.Now()
		sh.prefix = strconv.FormatUint(m.Generation, 36) + "/"
	}
	return true
}

// revoke takes back the mark of generation (0: whichever there is), where the owner at at still trusts it, because of cause. then is
// called once: when the mark is gone for sure (at once where it is gone already), or with an error when ctx ends before, and at once where
// mostWaiting wait already. then may be nil.
func (sh *shard) revoke(ctx context.Context, at store.Owner, generation uint64, cause error, then func(error)) {
	sh.mu.Lock()
	gone := sh.state == stateOff || sh.state == stateTrusted && generation != 0 && sh.mark.Generation != generation
	if sh.at != at || gone {
		sh.mu.Unlock()
		if then != nil {
			then(nil) // of another owner: the lease says whether what was written counts
		}
		return
	}
	tooMany := then != nil && !sh.waitLocked(ctx, then)
	begun := sh.state == stateRevoking
	lasted, trusted := time.Since(sh.since), sh.state == stateTrusted
	if !begun {
		sh.setLocked(stateRevoking)
	}
	sh.mu.Unlock()
	if tooMany {
		then(errTooMany)
	}
	if begun {
		return
	}
	if trusted && ctx.Err() == nil && !errors.Is(cause, store.ErrFenced) { // else it says nothing of the cache, nor of other shards
		sh.s.cacheOff.begin(cause, lasted)
	}
	sh.s.metrics.generations[eventRevoked].Inc()
	sh.s.running.Go(sh.takeBack)
}

// waiting is who waits for a mark to be gone.
type waiting struct {
	then func(error)
	stop func() bool // of what answers it when its time is over
}

// mostWaiting is how many wait for the mark of one shard at most. Each holds what it has appended.
const mostWaiting = 1024

// waitLocked has then be called when revoking has an end, or ctx. It reports whether there was room.
func (sh *shard) waitLocked(ctx context.Context, then func(error)) bool {
	if len(sh.revoked) >= mostWaiting {
		return false
	}
	if sh.revoked == nil {
		sh.revoked = make(map[*waiting]struct{})
	}
	w := &waiting{then: then}
	sh.revoked[w] = struct{}{}
	w.stop = context.AfterFunc(ctx, func() {
		sh.mu.Lock()
		_, waits := sh.revoked[w]
		delete(sh.revoked, w)
		sh.mu.Unlock()
		if waits {
			then(fmt.Errorf("store/tiered: revoke the cache: %w", ctx.Err()))
		}
	})
	return true
}

// takeBack writes that there is no generation, again until the truth has it: until then nothing that the cache missed is accepted, since
// a mailbox there may lack it.
func (sh *shard) takeBack() {
	failing := false
	defer func() {
		if failing {
			sh.s.endUnrevoked()
		}
	}()
	for pause := revokePause; ; pause = min(2*pause, time.Second) {
		sh.mu.Lock()
		at := sh.at
		sh.mu.Unlock()
		ctx, cancel := context.WithTimeout(sh.s.ctx, revokeTimeout)
		err := sh.s.truth.SetCacheMark(ctx, at, store.CacheMark{})
		cancel()
		if err == nil && sh.tookBack(at) {
			return
		}
		if err != nil && !failing {
			failing = true
			sh.s.beginUnrevoked(sh.id, err)
		}
		select {
		case <-sh.s.ctx.Done():
			sh.tell(fmt.Errorf("store/tiered: revoke the cache of shard %d: %w", sh.id, store.ErrClosed))
			return
		case <-time.After(pause):
		}
	}
}

// beginUnrevoked notes that the mark of a shard could not be taken back yet, and endUnrevoked that it was, or that the store is closed. The
// log has a line for all shards of which that is so at a time.
func (s *Store) beginUnrevoked(first protocol.ShardID, err error) {
	if s.unrevoked.Add(1) == 1 {
		s.log.Warn("the cache of shards could not be revoked yet: their publishes wait", "first", first, "error", err)
	}
}

func (s *Store) endUnrevoked() {
	if s.unrevoked.Add(-1) == 0 {
		s.log.Info("the cache of all shards is revoked that had to be")
	}
}

// tookBack notes that the mark of an owner is gone; false: there is a newer owner.
func (sh *shard) tookBack(at store.Owner) bool {
	sh.mu.Lock()
	if sh.at != at {
		sh.mu.Unlock()
		return false
	}
	sh.setLocked(stateOff)
	sh.mu.Unlock()
	sh.tell(nil)
	sh.s.wake()
	return true
}

// tell answers those who wait for the mark to be gone.
func (sh *shard) tell(err error) {
	sh.mu.Lock()
	waiting := sh.revoked
	sh.revoked = nil
	sh.mu.Unlock()
	for w := range waiting {
		w.stop()
		w.then(err)
	}
}

// revokeTimeout bounds one write of a mark, and revokePause is what first lies between two.
const (
	revokeTimeout = time.Second
	revokePause   = 50 * time.Millisecond
)

// Why a generation is revoked.
var (
	errCacheOff = errors.New("the cache is away")
	errHistory  = errors.New("the cache has another history: a replica was promoted, or the server lost its memory")
	errNoLast   = errors.New("the last position of a mailbox is not known")
)

// errTooMany is the answer to who would wait beyond mostWaiting.
var errTooMany = errors.New("store/tiered: too many wait for the cache of the shard to be revoked; retry with backoff")
