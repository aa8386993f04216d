package redis

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

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

// openIdentity reads the identity of the store, and draws it where there is none.
func (s *Store) openIdentity(ctx context.Context, c goredis.UniversalClient) error {
	key := identityKey(s.cfg.Prefix)
	fresh := appendIdentity(nil, newIdentity(), s.cfg.Shards)
	v, err := c.Get(ctx, key).Result()
	if errors.Is(err, goredis.Nil) {
		if err = c.Do(ctx, "set", key, fresh, "nx", "px", claimTTL.Milliseconds()).Err(); err == nil || errors.Is(err, goredis.Nil) {
			v, err = c.Get(ctx, key).Result() // another one may have been first
		}
	}
	if err != nil {
		return fmt.Errorf("read the store's identity: %w", err)
	}
	id, shards, err := parseIdentity(v)
	if err != nil {
		return err
	}
	if shards != s.cfg.Shards {
		return fmt.Errorf("the store at this prefix is of %d shards, not %d", shards, s.cfg.Shards)
	}
	s.identity.Store(&id)
	return nil
}
