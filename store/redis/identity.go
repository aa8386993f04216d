package redis

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"ramen/protocol"
	"ramen/store"
)

// The identity's value: generation:4 key:16 shards:4.
const identitySize = 4 + 16 + 4

func appendIdentity(b []byte, id store.Identity, shards int) []byte {
	b = binary.BigEndian.AppendUint32(b, id.Generation)
	b = append(b, id.Key[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(shards))
}

func parseIdentity(v string) (id store.Identity, shards int, err error) {
	if len(v) != identitySize {
		return id, 0, fmt.Errorf("identity has %d bytes, not %d", len(v), identitySize)
	}
	b := []byte(v)
	id.Generation = binary.BigEndian.Uint32(b)
	copy(id.Key[:], b[4:])
	return id, int(binary.BigEndian.Uint32(b[20:])), nil
}

// newIdentity draws one.
func newIdentity() (id store.Identity) {
	var raw [4]byte
	rand.Read(raw[:])
	id.Generation = binary.BigEndian.Uint32(raw[:])
	rand.Read(id.Key[:])
	return id
}

// epochKey has the highest epoch at which a shard was claimed, in decimal. It is in the identity's slot: whoever finds the identity finds an epoch
// that is no lower than those that cursors of it have.
func epochKey(prefix string) string { return identityKey(prefix) + ":epoch" }

// foundIdentity is what the servers have.
type foundIdentity struct {
	value    string // empty: none
	epoch    protocol.Epoch
	hasEpoch bool
}

func (s *Store) readIdentity(ctx context.Context) (f foundIdentity, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	pipe := s.any().Pipeline() // not MGET: while their slot moves one of them may be elsewhere
	identity, epoch := pipe.Get(ctx, identityKey(s.cfg.Prefix)), pipe.Get(ctx, epochKey(s.cfg.Prefix))
	_, _ = pipe.Exec(ctx)
	if f.value, err = identity.Result(); err != nil && !errors.Is(err, goredis.Nil) {
		return f, err
	}
	n, err := epoch.Uint64()
	if errors.Is(err, goredis.Nil) {
		return f, nil
	}
	f.epoch, f.hasEpoch = protocol.Epoch(n), err == nil
	return f, err
}

// writeIdentity writes the highest epoch that is known, unless a higher one is there, and then the identity, unless there is one. It reports
// whether it was written. Of an identity that was just drawn the epoch is 0. Of another one it is not written where it is not known: then
// LastEpoch does without; and beside one that is not this opening's nothing is written.
func (s *Store) writeIdentity(ctx context.Context, c goredis.UniversalClient, found foundIdentity, value []byte, drawn bool) (written bool, err error) {
	if found.value != "" && found.value != string(value) {
		return false, nil
	}
	ms := s.cfg.claimTTL().Milliseconds()
	switch epoch := s.epoch.Load(); {
	case epoch > uint64(found.epoch) || epoch > 0 && !found.hasEpoch:
		// Of two that write at once the lower one may be last: who has seen the higher one writes it again a second later.
		err = c.Do(ctx, "set", epochKey(s.cfg.Prefix), epoch, "px", ms).Err()
	case drawn:
		err = c.Do(ctx, "set", epochKey(s.cfg.Prefix), 0, "nx", "px", ms).Err()
	}
	if err != nil && !errors.Is(err, goredis.Nil) || found.value != "" {
		return false, err
	}
	err = c.Do(ctx, "set", identityKey(s.cfg.Prefix), value, "nx", "px", ms).Err()
	if errors.Is(err, goredis.Nil) {
		return false, nil // another one was first
	}
	return err == nil, err
}

// sawEpoch notes that shards were claimed at an epoch.
func (s *Store) sawEpoch(epoch protocol.Epoch) {
	for {
		was := s.epoch.Load()
		if was >= uint64(epoch) || s.epoch.CompareAndSwap(was, uint64(epoch)) {
			return
		}
	}
}

// openIdentity reads the identity of the store, and draws it where there is none.
func (s *Store) openIdentity(ctx context.Context, c goredis.UniversalClient) error {
	found, err := s.readIdentity(ctx)
	if err == nil && found.value == "" {
		if _, err = s.writeIdentity(ctx, c, found, appendIdentity(nil, newIdentity(), s.cfg.Shards), true); err == nil {
			s.noteDrawn(ctx)
			found, err = s.readIdentity(ctx) // another one may have been first
		}
	}
	if err != nil {
		return fmt.Errorf("read the store's identity: %w", err)
	}
	id, shards, err := parseIdentity(found.value)
	if err != nil {
		return err
	}
	if shards != s.cfg.Shards {
		return fmt.Errorf("the store at this prefix is of %d shards, not %d", shards, s.cfg.Shards)
	}
	s.identity.Store(&id)
	return nil
}
