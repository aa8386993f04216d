package pebble

import (
	"encoding/binary"
	"fmt"
	"sync"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
)

// epochs is who owns what: the epoch rows and the journal's claims, kept in memory. It is changed with the queue held only (committer.join).
type epochs struct {
	mu   sync.RWMutex
	at   map[protocol.ShardID]store.FencedError // the last claim
	last protocol.Epoch                         // the highest
}

func appendClaim(b []byte, c store.FencedError) []byte {
	return append(binary.BigEndian.AppendUint64(b, uint64(c.Epoch)), c.Owner...)
}

// load reads the rows.
func (e *epochs) load(db *engine.DB) error {
	e.at = make(map[protocol.ShardID]store.FencedError)
	it, err := db.NewIter(&engine.IterOptions{LowerBound: []byte{spaceEpoch}, UpperBound: []byte{spaceEpoch + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		k, v := it.Key(), it.Value()
		if len(k) != 1+shardSize || len(v) < 8 {
			_ = it.Close()
			return fmt.Errorf("row of an epoch, key %x: %d bytes of key and %d of value", k, len(k), len(v))
		}
		at := store.FencedError{Epoch: protocol.Epoch(binary.BigEndian.Uint64(v)), Owner: string(v[8:])}
		e.at[protocol.ShardID(binary.BigEndian.Uint32(k[1:]))] = at
		e.last = max(e.last, at.Epoch)
	}
	return it.Close()
}

// raise has the highest epoch be at at least.
func (e *epochs) raise(at protocol.Epoch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.last = max(e.last, at)
}

// replay takes over the claims that the journal has.
func (e *epochs) replay(claims map[protocol.ShardID]overlayClaim) {
	for shard, c := range claims {
		if e.at[shard].Epoch <= c.Epoch {
			e.at[shard] = c.FencedError
		}
		e.last = max(e.last, c.Epoch)
	}
}

// check answers a *store.FencedError unless o is the owner now.
func (e *epochs) check(o store.Owner) error {
	e.mu.RLock()
	at, ok := e.at[o.Shard]
	e.mu.RUnlock()
	if !ok || at.Epoch != o.Epoch {
		return fenced(o.Shard, o.Epoch, at)
	}
	return nil
}

func fenced(shard protocol.ShardID, epoch protocol.Epoch, at store.FencedError) error {
	return fmt.Errorf("shard %d at epoch %d: %w", shard, epoch, &at)
}

// claim takes shard, or answers a *store.FencedError.
func (e *epochs) claim(shard protocol.ShardID, epoch protocol.Epoch, owner string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if at := e.at[shard]; at.Epoch > epoch || at.Epoch == epoch && at.Owner != owner {
		return fenced(shard, epoch, at)
	}
	e.at[shard] = store.FencedError{Epoch: epoch, Owner: owner}
	e.last = max(e.last, epoch)
	return nil
}

func (e *epochs) highest() protocol.Epoch {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.last
}
