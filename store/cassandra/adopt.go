package cassandra

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/store"
)

var (
	_ store.Enumerator = (*Store)(nil)
	_ store.Adopter    = (*Store)(nil)
	_ store.Retirer    = (*Store)(nil)
)

// Adopt implements store.Adopter. No transaction sees the identity and the claims. The identity is written where it is still the one
// that was read, and then the claims are read; whoever claims writes its claims, and then reads the identity (isSame). So of two at
// once at least one sees the other: Adopt then gives the identity back, and Claim fails.
func (s *Store) Adopt(ctx context.Context, id store.Identity) error {
	was := s.Identity()
	if id == was {
		return nil
	}
	err := s.unclaimed(ctx)
	if err == nil {
		err = s.setIdentity(ctx, was, id)
	}
	if err == nil {
		if err = s.unclaimed(ctx); err != nil {
			err = errors.Join(err, s.setIdentity(context.WithoutCancel(ctx), id, was))
		}
	}
	if err != nil {
		return fmt.Errorf("store/cassandra: adopt: %w", err)
	}
	return nil
}

// unclaimed is nil where no shard was ever claimed.
func (s *Store) unclaimed(ctx context.Context) error {
	last, err := s.LastEpoch(ctx)
	if err == nil && last > 0 {
		err = fmt.Errorf("keyspace %s was used before, up to epoch %d: name another one", s.cfg.keyspace, last)
	}
	return err
}

// Retire implements store.Retirer, at once.
func (s *Store) Retire(ctx context.Context) error {
	was := s.Identity()
	id := was
	for id == was {
		id.Generation = rand.Uint32()
	}
	if err := s.setIdentity(ctx, was, id); err != nil {
		return fmt.Errorf("store/cassandra: retire: %w", err)
	}
	return nil
}

// setIdentity writes an identity where another one is. Done again it is fine. What became of a transaction that was cut off is seen by the
// next read, which completes it.
func (s *Store) setIdentity(ctx context.Context, was, id store.Identity) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	for {
		value, a, err := s.storedAbout(ctx, s.serial())
		if err == nil {
			switch a.identity() {
			case id:
				s.identity.Store(&id)
				return nil
			case was:
				a.Generation, a.Key = id.Generation, id.Key[:]
				err = s.replaceAbout(ctx, value, &a)
			default:
				return errors.New("another process has given the store an identity meanwhile")
			}
		}
		if err != nil {
			if err := claimAgain(ctx, err); err != nil {
				return err
			}
		}
	}
}

// identityTimeout bounds the writing of an identity where the caller does not.
const identityTimeout = schemaTimeout

// storedAbout reads what the cluster has.
func (s *Store) storedAbout(ctx context.Context, c gocql.Consistency) (value string, a about, err error) {
	value, err = read(ctx, s, func(ctx context.Context) (string, error) { return readMeta(ctx, s.session, c, metaStore) })
	if err != nil {
		return value, a, fmt.Errorf("read the store's identity: %w", err)
	}
	a, err = parseAbout(value, len(s.shards))
	return value, a, err
}

// replaceAbout writes a where value is there still: whether it was, the next read tells.
func (s *Store) replaceAbout(ctx context.Context, value string, a *about) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, claimTimeout)
	defer cancel()
	at := &attempt{Context: ctx, call: new(call)}
	_, err = s.session.Query(raiseMeta, string(text), metaStore, value).
		SerialConsistency(s.serial()).MapScanCASContext(at, make(map[string]any))
	s.note(at, err)
	return err
}

// isSame is nil where the store is still the one that was opened. Where it has adopted another identity, or was retired, nothing is to be
// claimed: who went on would do so with cursors that end with it, or at positions that another store gives, too.
func (s *Store) isSame(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	_, a, err := s.storedAbout(ctx, s.serial())
	if err == nil && a.identity() != s.Identity() {
		err = store.ErrReplaced
	}
	return err
}
