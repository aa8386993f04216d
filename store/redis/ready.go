package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/protocol"
	"ramen/store"
)

var (
	_ store.Readier  = (*Store)(nil)
	_ store.Admitter = (*Store)(nil)
)

// silentAfter is for how long the servers may not answer before the store is not ready.
const silentAfter = 2 * time.Second

// memoryShare is the part of maxmemory, in percent, from which on messages of a lane are not taken: what is high comes in longest. Beyond
// all of it the server refuses by itself.
var memoryShare = [protocol.Lanes]int64{99, 96, 92}

// ErrUnfit is the answer while a server is not what the configuration says, or does not do what the configured durability needs.
var ErrUnfit = errors.New("the Redis server is not as configured")

// Ready implements store.Readier. A node of a cluster that does not answer holds up its own users alone: whoever reads the claims sees that.
func (s *Store) Ready() error {
	if h := s.health.Load(); s.cluster == nil && h != nil && h.err != nil && time.Since(h.since) > silentAfter {
		return fmt.Errorf("store/redis: no answer for %v: %w", time.Since(h.since).Round(time.Second), h.err)
	}
	return s.Admit(protocol.PriorityHigh)
}

// Admit implements store.Admitter. In a cluster the nodes refuse by themselves: memory may be short on one of them alone.
func (s *Store) Admit(p protocol.Priority) error {
	if err := s.kept(); err != nil {
		return fmt.Errorf("store/redis: %w", err)
	}
	if used := s.usedShare.Load(); used >= memoryShare[p.Lane()] {
		return fmt.Errorf("store/redis: %w: %d %% of it is used", ErrOutOfMemory, used)
	}
	return nil
}

// readMemory notes how much of a server's memory is used.
func (s *Store) readMemory(ctx context.Context) error {
	if s.single == nil {
		return nil
	}
	text, err := s.single.client.Info(ctx, "memory").Result()
	if err != nil {
		return err
	}
	s.noteMemory(parseInfo(text))
	return nil
}

func (s *Store) noteMemory(in info) {
	used, most := in.int("used_memory"), in.int("maxmemory")
	if most == 0 || in["maxmemory_policy"] != "noeviction" {
		s.usedShare.Store(0)
		return
	}
	s.usedShare.Store(used * 100 / most)
}
