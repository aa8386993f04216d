package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/protocol"
)

// A claim can be lost: a replica is promoted that did not have it yet, or a server starts from an older log. What is there then is the claim
// before it, and the epoch above that one was given already: at that epoch devices have acked positions that a next owner would give again,
// and what it accepts there is behind their cursors. So each claim has beside it the name of the copy of the data that has taken it. Where the
// server has another copy now, whoever claims next goes on above all epochs that can be lost.

// epochsLost is more claims of one shard than are made while a replica lags behind: each is a take-over. It is small, since a store on Cassandra, to
// which this one may be copied, orders 16 million epochs.
const epochsLost = 1024

// lostPeriod is for how many seconds lostAbove grows before it begins anew: 4.5 hours. What it adds to epochs is bounded by it.
const lostPeriod = 1 << 14

// lostAbove is an epoch above all that were claimed after epoch and are lost. It grows by the second, so that of two that both find epoch, the first of
// which is lost again, the later goes on above the earlier. Where it begins anew in between it does not: of two a minute apart, one in 270.
func lostAbove(epoch protocol.Epoch, now time.Time) protocol.Epoch {
	return epoch + epochsLost + protocol.Epoch(now.Unix()%lostPeriod)
}

// anyEpoch is above all epochs of a store of which none is known.
func anyEpoch(now time.Time) protocol.Epoch { return protocol.Epoch(now.Unix()) }

// seenClaim is a claim that was read, and up to which epoch others may be lost that followed it. Immutable.
type seenClaim struct {
	value, history string
	above          protocol.Epoch
}

// seenAbove is up to which epoch claims may be lost behind a claim, where that is known from an earlier reading.
func (s *Store) seenAbove(shard protocol.ShardID, value, history string) (above protocol.Epoch, known bool) {
	seen := s.seen[shard].Load()
	if seen == nil || seen.value != value || seen.history != history {
		return 0, false
	}
	return seen.above, true
}

// sawClaim notes which copy has taken a claim.
func (s *Store) sawClaim(shard protocol.ShardID, claim claimValue, value, history, takenBy string) (above protocol.Epoch) {
	if takenBy != history {
		above = lostAbove(claim.epoch(), time.Now())
	}
	s.seen[shard].Store(&seenClaim{value, history, above})
	return above
}

// lostUnclaimed is up to which epoch claims of a shard without one may be lost; 0: it was never claimed. That is so where the identity is
// still in the copy in which it was drawn.
func (s *Store) lostUnclaimed(ctx context.Context) (protocol.Epoch, error) {
	key := identityKey(s.cfg.Prefix)
	n, err := s.nodeOfKey(ctx, key)
	if err != nil {
		return 0, err
	}
	n.usedMS.Store(nowMS())
	pipe := n.client.Pipeline()
	identity, epoch, drawnIn := pipe.Get(ctx, key), pipe.Get(ctx, epochKey(s.cfg.Prefix)), pipe.Get(ctx, identityCopyKey(s.cfg.Prefix))
	info := pipe.Info(ctx, "server", "replication")
	_, _ = pipe.Exec(ctx)
	for _, c := range []*goredis.StringCmd{identity, epoch, drawnIn} {
		if err := c.Err(); err != nil && !errors.Is(err, goredis.Nil) {
			s.noteTrouble(n, err)
			return 0, fmt.Errorf("read the copy of the identity: %w", err)
		}
	}
	known, err := epoch.Uint64()
	hasEpoch := err == nil
	last := protocol.Epoch(max(known, s.epoch.Load()))
	switch now := time.Now(); {
	case info.Err() != nil: // it may not be asked for: what is lost cannot be told
		return 0, nil
	case identity.Val() != "" && !hasEpoch:
		return max(lostAbove(last, now), anyEpoch(now)), nil
	case identity.Val() == "", drawnIn.Val() != parseInfo(info.Val()).history():
		return lostAbove(last, now), nil
	}
	return 0, nil
}

// noteDrawn notes in which copy the identity was drawn. Until that is done the first claims go on above what can be lost.
func (s *Store) noteDrawn(ctx context.Context) {
	n, err := s.nodeOfKey(ctx, identityKey(s.cfg.Prefix))
	if err != nil {
		return
	}
	text, err := n.client.Info(ctx, "server", "replication").Result()
	if err != nil {
		return
	}
	n.client.Do(ctx, "set", identityCopyKey(s.cfg.Prefix), parseInfo(text).history(), "nx", "px", s.cfg.claimTTL().Milliseconds())
}
