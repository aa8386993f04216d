package redis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"ramen/protocol"
	"ramen/store"
)

// Keys of a shard; the braces are the hash tag, by which all of them are in one slot. With "ramen" for the prefix:
//
//	ramen:{12}:claim       epoch:8 nonce:8 number:4 owner   who claimed the shard last
//	ramen:{12}:u:USER      hash: the mailbox
//	ramen:{12}:copy        run of the server, and its data, that has taken that claim (info.history)
//	ramen:{12}:expiry      sorted set: users by a time from which on something in the mailbox may have expired
//	ramen:{12}:unseen      sorted set: users by a time at which the device that was seen least may have been seen
//	ramen:{12}:new:USER    hash: what is to become a mailbox, with n, the number of its making
//	ramen:{12}:gone:USER   hash: devices that were removed in the last hour, and the order in which each was
//
// and of the whole store, each in a slot of its own:
//
//	ramen:{identity}       generation:4 key:16 shards:4
//	ramen:{identity}:epoch the highest epoch at which a shard was claimed, in the same slot
//	ramen:{identity}:copy  where the identity was drawn, as of a claim, in the same slot
//	ramen:{at:OWNER}       there while OWNER has said that it is
//
// Fields of a mailbox (numbers big-endian, but for h and t, which are decimal):
//
//	l                      epoch:8 µs:8                     the last position: the mark
//	m lane:1 epoch:8 µs:8  value checksum:4                 an entry (package codec)
//	d DEVICE               epoch:8 count:8 value checksum:4 a device, and the order in which it was written (package codec)
//	i N                    accepted ms:8 id                 an id, h <= N < t
//	h, t                   N                                the first id, and the next
const (
	fieldLast   = 'l'
	fieldEntry  = 'm'
	fieldDevice = 'd'
	fieldID     = 'i'

	positionSize = 16
	entryField   = 2 + positionSize
	orderSize    = 16
)

// shardKeys are the keys of a shard that most calls name.
type shardKeys struct {
	claim, copy, expiry, unseen, mailbox string // mailbox: what those begin with
}

func newShardKeys(prefix string, shard protocol.ShardID) shardKeys {
	tag := prefix + ":{" + strconv.FormatUint(uint64(shard), 10) + "}:"
	return shardKeys{claim: tag + "claim", copy: tag + "copy", expiry: tag + "expiry", unseen: tag + "unseen", mailbox: tag + "u:"}
}

// addBeside adds the key of what is kept beside a mailbox: staged or removed.
func (c *call) addBeside(k *shardKeys, what string, user protocol.UserID) {
	c.arena = append(append(append(c.arena, k.mailbox[:len(k.mailbox)-len("u:")]...), what...), user...)
	c.end()
}

const (
	staged  = "new:"
	removed = "gone:"
)

func identityKey(prefix string) string { return prefix + ":{identity}" }

func identityCopyKey(prefix string) string { return identityKey(prefix) + ":copy" }

func presenceKey(prefix, owner string) string { return prefix + ":{at:" + owner + "}" }

func appendPosition(b []byte, p protocol.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(p.Epoch)), p.Micros)
}

// parsePosition reads a mark; an empty one is zero.
func parsePosition(s string) (p protocol.Position, err error) {
	if s == "" {
		return p, nil
	}
	if len(s) != positionSize {
		return p, fmt.Errorf("position of %d bytes", len(s))
	}
	p.Epoch, p.Micros = protocol.Epoch(uint64Of(s)), uint64Of(s[8:])
	return p, nil
}

func appendEntryField(b []byte, r store.Ref) []byte {
	return appendPosition(append(b, fieldEntry, byte(r.Priority)), r.Position)
}

func parseEntryField(f string) (r store.Ref, err error) {
	if len(f) != entryField {
		return r, fmt.Errorf("entry's field of %d bytes", len(f))
	}
	r.Priority = protocol.Priority(f[1])
	if r.Priority < protocol.PriorityHigh || r.Priority > protocol.PriorityLow {
		return r, fmt.Errorf("entry's field of priority %d", f[1])
	}
	r.Position, err = parsePosition(f[2:])
	return r, err
}

// uint64Of reads a number; s has eight bytes at least.
func uint64Of(s string) (x uint64) {
	for i := range 8 {
		x = x<<8 | uint64(s[i])
	}
	return x
}

// token is what a write must find a claim to begin with: epoch:8 nonce:8 number:4. The nonce is drawn by each opening of a store, and
// the number rises where the server was found to have lost the claim: a write from before that changes nothing.
type token [20]byte

func newToken(epoch protocol.Epoch, nonce [8]byte, number uint32) (t token) {
	binary.BigEndian.PutUint64(t[:], uint64(epoch))
	copy(t[8:], nonce[:])
	binary.BigEndian.PutUint32(t[16:], number)
	return t
}

func (t token) epoch() protocol.Epoch { return protocol.Epoch(binary.BigEndian.Uint64(t[:])) }
func (t token) nonce() [8]byte        { return [8]byte(t[8:16]) }
func (t token) number() uint32        { return binary.BigEndian.Uint32(t[16:]) }

// claimValue is what a claim's key has.
type claimValue struct {
	token
	owner string
}

var errClaim = errors.New("claim is too short")

// parseClaim reads a claim; an empty one is that of a shard that was never claimed.
func parseClaim(s string) (c claimValue, err error) {
	if s == "" {
		return c, nil
	}
	if len(s) < len(c.token) {
		return c, errClaim
	}
	copy(c.token[:], s)
	c.owner = s[len(c.token):]
	return c, nil
}

func (c claimValue) fenced() *store.FencedError {
	return &store.FencedError{Epoch: c.epoch(), Owner: c.owner}
}
