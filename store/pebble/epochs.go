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
	at   map[protocol.ShardID]protocol.Epoch
	last protocol.Epoch // the highest
}

// load reads the rows.
func (e *epochs) load(db *engine.DB) error {
	e.at = make(map[protocol.ShardID]protocol.Epoch)
	it, err := db.NewIter(&engine.IterOptions{LowerBound: []byte{spaceEpoch}, UpperBound: []byte{spaceEpoch + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		k, v := it.Key(), it.Value()
		if len(k) != 1+shardSize || len(v) != 8 {
			_ = it.Close()
			return fmt.Errorf("row of an epoch, key %x: %d bytes of key and %d of value", k, len(k), len(v))
		}
		at := protocol.Epoch(binary.BigEndian.Uint64(v))
		e.at[protocol.ShardID(binary.BigEndian.Uint32(k[1:]))] = at
		e.last = max(e.last, at)
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
func (e *epochs) replay(claims map[protocol.ShardID]recentClaim) {
	for shard, c := range claims {
		e.at[shard] = max(e.at[shard], c.epoch)
		e.last = max(e.last, c.epoch)
	}
}

// check answers store.ErrFenced unless o is the owner now.
func (e *epochs) check(o store.Owner) error {
	e.mu.RLock()
	at, ok := e.at[o.Shard]
	e.mu.RUnlock()
	if !ok {
		return fmt.Errorf("shard %d at epoch %d, never claimed: %w", o.Shard, o.Epoch, store.ErrFenced)
	}
	if at != o.Epoch {
		return fmt.Errorf("shard %d at epoch %d, claimed at %d: %w", o.Shard, o.Epoch, at, store.ErrFenced)
	}
	return nil
}

// claim raises all of shards to epoch, or none.
func (e *epochs) claim(shards []protocol.ShardID, epoch protocol.Epoch) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, s := range shards {
		if at := e.at[s]; at > epoch {
			return fmt.Errorf("shard %d at epoch %d, claimed at %d: %w", s, epoch, at, store.ErrFenced)
		}
	}
	for _, s := range shards {
		e.at[s] = epoch
	}
	if len(shards) > 0 {
		e.last = max(e.last, epoch)
	}
	return nil
}

func (e *epochs) highest() protocol.Epoch {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.last
}
