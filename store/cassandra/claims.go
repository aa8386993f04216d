package cassandra

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/presence"
)

// Claims stand in partitions of claimsPart shards each. A claim of many of them is one lightweight transaction, on the condition that the
// partition's round is the one that was read: whoever else has claimed any of them meanwhile has raised it.
const claimsPart = 64

const (
	selectClaims = "SELECT shard, round, epoch, owner, again FROM claims WHERE part = ?"
	updateRound  = "UPDATE claims SET round = ? WHERE part = ? IF round = ?"
	insertClaim  = "INSERT INTO claims (part, shard, epoch, owner, again) VALUES (?, ?, ?, ?, ?)"
	insertOwner  = "INSERT INTO owners (owner, until) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?"
	deleteOwner  = "DELETE FROM owners USING TIMESTAMP ? WHERE owner = ?"
	selectOwner  = "SELECT owner FROM owners WHERE owner = ?"
)

// claimPause is how long a claim waits, about, that has met another one of the same partition.
const claimPause = 20 * time.Millisecond

// claim is what the store has of a shard.
type claim struct {
	epoch protocol.Epoch
	owner string
	again int // how often the owner has claimed it at this epoch once more
}

// part is a partition of claims.
type claimPart struct {
	round  int64 // 0: nobody has claimed any
	claims map[protocol.ShardID]claim
}

// Claim implements store.Store. Whether the store is the one that was opened is read while the claims are.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	if err := s.enter(); err != nil {
		return repeat(fmt.Errorf("store/cassandra: claim at epoch %d: %w", epoch, err), len(shards))
	}
	defer s.calls.Done()
	same := sync.OnceValue(func() error { return s.isSame(ctx) })
	s.workers.do(func() { _ = same() })
	return s.claimParts(ctx, shards, epoch, owner, same)
}

// claimParts claims shards, a partition at a time, where same allows it, and looks then whether the store is still the one that was opened.
func (s *Store) claimParts(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string, same func() error) []error {
	byPart := make(map[int][]int) // places in shards
	for i, id := range shards {
		byPart[int(id)/claimsPart] = append(byPart[int(id)/claimsPart], i)
	}
	parts := make([]int, 0, len(byPart))
	for p := range byPart {
		parts = append(parts, p)
	}
	errs := make([]error, len(shards))
	taken := make([]map[protocol.ShardID]claim, len(parts))
	of := s.each(ctx, callClaim, len(parts), func(i int) error {
		at := byPart[parts[i]]
		ids := make([]protocol.ShardID, len(at))
		for n, place := range at {
			ids[n] = shards[place]
		}
		answers, take, err := s.claim(ctx, parts[i], ids, epoch, owner, same)
		taken[i] = take
		for n, place := range at {
			if errs[place] = err; err == nil {
				errs[place] = answers[n]
			}
		}
		return err
	})
	changed := s.claimed(ctx, taken)
	failed := false
	for i, p := range parts {
		for _, place := range byPart[p] {
			if of != nil && of[i] != nil {
				errs[place] = of[i]
			} else if errs[place] == nil {
				errs[place] = changed
			}
			if err := errs[place]; err != nil {
				errs[place] = fmt.Errorf("store/cassandra: claim shard %d at epoch %d: %w", shards[place], epoch, err)
				failed = true
			}
		}
	}
	if !failed {
		return nil
	}
	return errs
}

// claim claims shards of one partition, where same allows it. Each has its answer, where there is no error of all. taken is what was written.
func (s *Store) claim(ctx context.Context, p int, ids []protocol.ShardID, epoch protocol.Epoch, owner string, same func() error) (answers []error, taken map[protocol.ShardID]claim, err error) {
	if epoch > mostEpoch {
		return nil, nil, fmt.Errorf("the epoch is beyond %d, which is the most that this store can order", mostEpoch)
	}
	for _, id := range ids {
		if int(id) >= len(s.shards) {
			return nil, nil, fmt.Errorf("there are %d shards", len(s.shards))
		}
	}
	for {
		have, err := s.readClaims(ctx, p, s.serial())
		if err == nil {
			err = same()
		}
		if err != nil {
			return nil, nil, err
		}
		answers := make([]error, len(ids))
		take := make(map[protocol.ShardID]claim)
		for i, id := range ids {
			c := have.claims[id]
			s.saw(id, c.epoch, c.owner)
			switch {
			case c.epoch > epoch, c.epoch == epoch && c.owner != owner:
				answers[i] = &store.FencedError{Epoch: c.epoch, Owner: c.owner}
			case c.epoch != epoch:
				take[id] = claim{epoch: epoch, owner: owner}
			case protocol.Epoch(s.shards[id].mine.Load()) != epoch: // the owner begins anew
				take[id] = claim{epoch, owner, c.again + 1}
			}
		}
		if len(take) > 0 {
			var applied bool
			if applied, err = s.takeClaims(ctx, p, have.round, take); err == nil && !applied {
				err = errRound
			}
		}
		if err == nil {
			return answers, take, nil
		}
		if err := claimAgain(ctx, err); err != nil {
			return nil, nil, err
		}
	}
}

// claimed looks at what may have changed before shards were claimed, by partition, and notes the claims: whether the store is still the one
// that was opened, and how long messages live that whoever owned the shards before has taken, who has told by now.
func (s *Store) claimed(ctx context.Context, taken []map[protocol.ShardID]claim) error {
	if !slices.ContainsFunc(taken, func(of map[protocol.ShardID]claim) bool { return len(of) > 0 }) {
		return s.isSame(ctx)
	}
	look := []func(context.Context) error{s.readMaxTTL, s.isSame}
	if err := errors.Join(s.workers.each(len(look), func(i int) error { return look[i](ctx) })...); err != nil {
		return err
	}
	for _, of := range taken {
		for id, c := range of {
			s.shards[id].again.Store(uint64(c.again))
			if s.shards[id].mine.Swap(uint64(c.epoch)) != uint64(c.epoch) {
				s.shards[id].counter.Store(0)
			}
			s.saw(id, c.epoch, c.owner)
		}
	}
	return nil
}

var errRound = errors.New("another process claims shards of the same partition")

// claimAgain waits before a claim is tried again, or answers why it is not. What became of a transaction that was cut off is seen by
// the next read, which completes it.
func claimAgain(ctx context.Context, err error) error {
	if f := faultOf(err); !errors.Is(err, errRound) && !f.again || ctx.Err() != nil {
		return err
	}
	pause := time.NewTimer(claimPause/2 + rand.N(claimPause))
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w (%w)", ctx.Err(), err)
	}
}

// serial is the consistency of reads that see every transaction.
func (s *Store) serial() gocql.Consistency { return s.cfg.serial.reads() }

// claimTimeout is how long one request of a transaction may take: it has four rounds between the replicas.
const claimTimeout = time.Second

func (s *Store) takeClaims(ctx context.Context, p int, round int64, take map[protocol.ShardID]claim) (applied bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	b := s.session.Batch(gocql.UnloggedBatch).SerialConsistency(s.serial())
	var expected any // null in an empty partition
	if round != 0 {
		expected = round
	}
	b.Query(updateRound, round+1, p, expected)
	for id, c := range take {
		b.Query(insertClaim, p, int32(id), int64(c.epoch), c.owner, c.again)
	}
	a := &attempt{Context: ctx, call: new(call), began: time.Now()}
	applied, rows, err := b.ExecCASContext(a)
	if rows != nil {
		err = errors.Join(err, rows.Close())
	}
	s.note(a, err)
	return applied, err
}

// readClaims reads one partition.
func (s *Store) readClaims(ctx context.Context, p int, c gocql.Consistency) (claimPart, error) {
	return read(ctx, s, func(ctx context.Context) (claimPart, error) {
		have := claimPart{claims: make(map[protocol.ShardID]claim)}
		rows := s.session.Query(selectClaims, p).Consistency(c).IterContext(ctx)
		var shard *int32
		var round, epoch *int64
		var owner *string
		var again *int
		for rows.Scan(&shard, &round, &epoch, &owner, &again) {
			if round != nil {
				have.round = *round
			}
			if shard != nil && epoch != nil && owner != nil && again != nil {
				have.claims[protocol.ShardID(*shard)] = claim{protocol.Epoch(*epoch), *owner, *again}
			}
			shard, round, epoch, owner, again = nil, nil, nil, nil, nil
		}
		return have, rows.Close()
	})
}

// readParts reads the partitions that hold shards.
func (s *Store) readParts(ctx context.Context, parts []int, c gocql.Consistency) (map[int]claimPart, error) {
	all := make([]claimPart, len(parts))
	errs := s.each(ctx, callClaims, len(parts), func(i int) (err error) {
		all[i], err = s.readClaims(ctx, parts[i], c)
		return err
	})
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	m := make(map[int]claimPart, len(parts))
	for i, p := range parts {
		m[p] = all[i]
	}
	return m, nil
}

// LastEpoch implements store.Store.
func (s *Store) LastEpoch(ctx context.Context) (last protocol.Epoch, err error) {
	var parts []int
	for p := range (len(s.shards) + claimsPart - 1) / claimsPart {
		parts = append(parts, p)
	}
	all, err := s.readParts(ctx, parts, s.serial())
	if err != nil {
		return 0, fmt.Errorf("store/cassandra: read the last epoch: %w", err)
	}
	for _, p := range all {
		for _, c := range p.claims {
			last = max(last, c.epoch)
		}
	}
	return last, nil
}

// Fences implements store.Shared: Cassandra does not know the owner of a shard when it writes.
func (s *Store) Fences() bool { return false }

// Claims implements store.Shared. Each partition of claims is read by itself.
func (s *Store) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, []error) {
	byPart := make(map[int][]int) // places in shards
	var parts []int
	for i, id := range shards {
		p := int(id) / claimsPart
		if byPart[p] == nil {
			parts = append(parts, p)
		}
		byPart[p] = append(byPart[p], i)
	}
	claims := make([]store.Claimed, len(shards))
	if err := s.enter(); err != nil {
		return claims, repeat(fmt.Errorf("store/cassandra: read claims: %w", err), len(shards))
	}
	defer s.calls.Done()
	present := presence.New(func(owner string) (bool, error) { return s.isPresent(ctx, owner) })
	of := s.each(ctx, callClaims, len(parts), func(n int) error {
		part, err := s.readClaims(ctx, parts[n], gocql.LocalQuorum)
		if err != nil {
			return err
		}
		for _, i := range byPart[parts[n]] {
			c := part.claims[shards[i]]
			if int(shards[i]) < len(s.shards) {
				s.saw(shards[i], c.epoch, c.owner)
			}
			claims[i] = store.Claimed{Epoch: c.epoch, Owner: c.owner}
			present.Ask(claims[i])
		}
		return nil
	})
	present.Fill(claims)
	if of == nil {
		return claims, nil
	}
	errs := make([]error, len(shards))
	for n, p := range parts {
		for _, i := range byPart[p] {
			if of[n] != nil {
				errs[i] = fmt.Errorf("store/cassandra: read the claim of shard %d: %w", shards[i], of[n])
			}
		}
	}
	return claims, errs
}

func (s *Store) isPresent(ctx context.Context, owner string) (bool, error) {
	return read(ctx, s, func(ctx context.Context) (bool, error) {
		var name string
		err := s.session.Query(selectOwner, owner).ScanContext(ctx, &name)
		if errors.Is(err, gocql.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
}

// Renew implements store.Shared. The time is counted by the servers, in whole seconds, rounded up.
func (s *Store) Renew(ctx context.Context, owner string, ttl time.Duration) error {
	if err := s.enter(); err != nil {
		return fmt.Errorf("store/cassandra: renew owner %q: %w", owner, err)
	}
	defer s.calls.Done()
	began, at := time.Now(), s.present.next()
	err := s.write(ctx, func(ctx context.Context) error {
		if ttl <= 0 {
			return s.session.Query(deleteOwner, at, owner).ExecContext(ctx)
		}
		return s.session.Query(insertOwner, owner, began.Add(ttl).UnixMilli(), int((ttl+time.Second-1)/time.Second), at).ExecContext(ctx)
	})
	s.metrics.observe(callRenew, began, err)
	if err != nil {
		return fmt.Errorf("store/cassandra: renew owner %q: %w", owner, err)
	}
	return nil
}
