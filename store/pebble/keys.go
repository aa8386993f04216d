package pebble

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// The first byte of a row's key; the byte after a user. See the package comment.
const (
	spaceMeta  = 'a'
	spaceEpoch = 'e'
	spaceID    = 'i'
	spaceUser  = 'u'

	kindDevice  = 'd'
	kindMessage = 'm'

	userEnd    = 0
	shardSize  = 4
	placeSize  = 1 + 8 + 8 // lane, epoch, µs
	bucketSize = 8
)

var (
	keyFormat   = []byte{spaceMeta, 'f'}
	keyIdentity = []byte{spaceMeta, 'i'}
	keyShards   = []byte{spaceMeta, 's'}
	keyJournal  = []byte{spaceMeta, 'j'}
	// Of a store that was set back (manifest.go).
	keyGeneration = []byte{spaceMeta, 'g'}
	keyFloor      = []byte{spaceMeta, 'l'}
	// Of a store that goes on for another (adopt.go), which has its generation in keyGeneration as well.
	keyCursorKey = []byte{spaceMeta, 'k'}
)

func appendEpochKey(b []byte, shard protocol.ShardID) []byte {
	return binary.BigEndian.AppendUint32(append(b, spaceEpoch), uint32(shard))
}

func appendShardPrefix(b []byte, shard protocol.ShardID) []byte {
	return binary.BigEndian.AppendUint32(append(b, spaceUser), uint32(shard))
}

// appendUserPrefix is what all rows of a mailbox begin with.
func appendUserPrefix(b []byte, shard protocol.ShardID, user protocol.UserID) []byte {
	b = append(appendShardPrefix(b, shard), user...)
	return append(b, userEnd)
}

func appendMessageKey(b []byte, shard protocol.ShardID, user protocol.UserID, r store.Ref) []byte {
	return appendPlace(append(appendUserPrefix(b, shard, user), kindMessage), r)
}

func appendPlace(b []byte, r store.Ref) []byte {
	b = binary.BigEndian.AppendUint64(append(b, byte(r.Priority)), uint64(r.Position.Epoch))
	return binary.BigEndian.AppendUint64(b, r.Position.Micros)
}

func appendDeviceKey[S ~string](b []byte, shard protocol.ShardID, user protocol.UserID, device S) []byte {
	b = append(appendUserPrefix(b, shard, user), kindDevice)
	return append(b, device...)
}

// appendBucketPrefix is what all ids that were accepted before endMS, and after the bucket before it, begin with.
func appendBucketPrefix(b []byte, endMS int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, spaceID), uint64(endMS))
}

// appendIDPrefix is what all rows of a user's ids in a bucket begin with.
func appendIDPrefix(b []byte, endMS int64, shard protocol.ShardID, user protocol.UserID) []byte {
	b = binary.BigEndian.AppendUint32(appendBucketPrefix(b, endMS), uint32(shard))
	b = append(b, user...)
	return append(b, userEnd)
}

// appendIDKey is of the ids that one segment of the journal had.
func appendIDKey(b []byte, endMS int64, shard protocol.ShardID, user protocol.UserID, segment uint64) []byte {
	return binary.BigEndian.AppendUint64(appendIDPrefix(b, endMS, shard, user), segment)
}

// prefixEnd is the first key behind all that begin with prefix.
func prefixEnd(b, prefix []byte) []byte {
	b = append(b, prefix...)
	for i := len(b) - 1; i >= 0; i-- {
		if b[i]++; b[i] != 0 {
			return b[:i+1]
		}
	}
	return nil // prefix is all 0xff, which none of ours is: no end
}

// userRow is the parsed key of a row of a mailbox.
type userRow struct {
	user   []byte // aliases the key
	kind   byte
	ref    store.Ref // of kindMessage
	device []byte    // of kindDevice; aliases the key
}

// parseUserRow reads a key under 'u'.
func parseUserRow(key []byte) (userRow, error) {
	var r userRow
	if len(key) < 1+shardSize || key[0] != spaceUser {
		return r, fmt.Errorf("key %x is not of a mailbox", key)
	}
	rest := key[1+shardSize:]
	end := bytes.IndexByte(rest, userEnd)
	if end < 0 || end+1 >= len(rest) {
		return r, fmt.Errorf("key %x has no kind after its user", key)
	}
	r.user, r.kind, rest = rest[:end], rest[end+1], rest[end+2:]
	switch r.kind {
	case kindDevice:
		r.device = rest
		return r, nil
	case kindMessage:
		return r, parsePlace(key, rest, &r.ref)
	}
	return r, fmt.Errorf("key %x is of an unknown kind %q", key, r.kind)
}

func parsePlace(key, b []byte, r *store.Ref) error {
	if len(b) != placeSize {
		return fmt.Errorf("key %x has a place of %d bytes, not %d", key, len(b), placeSize)
	}
	r.Priority = protocol.Priority(b[0])
	if !validPriority(r.Priority) {
		return fmt.Errorf("key %x has no lane %d", key, b[0])
	}
	r.Position.Epoch = protocol.Epoch(binary.BigEndian.Uint64(b[1:]))
	r.Position.Micros = binary.BigEndian.Uint64(b[9:])
	return nil
}

func validPriority(p protocol.Priority) bool {
	return p >= protocol.PriorityHigh && p <= protocol.PriorityLow
}

// checkUser refuses what would make the keys of two users collide.
func checkUser[U ~string | ~[]byte](user U) error {
	for i := range len(user) {
		if user[i] == userEnd {
			return fmt.Errorf("user %q: a user has no byte that is zero", user)
		}
	}
	if len(user) == 0 {
		return errors.New("user is empty: a user has at least a byte")
	}
	return nil
}
