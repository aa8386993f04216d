package tiered

import (
	"context"
	"sync"

	"ramen/protocol"
)

// histories reads the cache's history of shards, for all who ask while a reading is under way in the next one: a reading counts only
// for those who asked before it was sent.
type histories struct {
	s *Store

	mu sync.Mutex
	// guarded by mu
	waiting *reading // the one to be sent next; nil: nobody waits
	running bool
}

// reading is one call of the cache for several shards.
type reading struct {
	shards map[protocol.ShardID]string // and their histories once done is closed
	errs   map[protocol.ShardID]error  // of those that could not be read
	done   chan struct{}
}

// read answers the history of a shard, read after the call.
func (h *histories) read(ctx context.Context, shard protocol.ShardID) (string, error) {
	h.mu.Lock()
	r := h.waiting
	if r == nil {
		r = &reading{shards: make(map[protocol.ShardID]string), done: make(chan struct{})}
		h.waiting = r
	}
	r.shards[shard] = ""
	if !h.running {
		h.running = true
		h.s.running.Go(h.run)
	}
	h.mu.Unlock()
	select {
	case <-r.done:
		return r.shards[shard], r.errs[shard]
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// run sends readings while somebody waits.
func (h *histories) run() {
	for {
		h.mu.Lock()
		r := h.waiting
		h.waiting = nil
		if r == nil {
			h.running = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		h.send(r)
		close(r.done)
	}
}

func (h *histories) send(r *reading) {
	ctx, cancel := h.s.cacheContext(h.s.ctx)
	defer cancel()
	ids := make([]protocol.ShardID, 0, len(r.shards))
	for id := range r.shards {
		ids = append(ids, id)
	}
	claims, errs := h.s.cache.Claims(ctx, ids)
	r.errs = make(map[protocol.ShardID]error)
	for i, id := range ids {
		if errs != nil && errs[i] != nil {
			r.errs[id] = errs[i]
			continue
		}
		r.shards[id] = claims[i].History
	}
}
