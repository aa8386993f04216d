package cassandra

import (
	"context"
	"fmt"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/protocol"
	"ramen/store"
)

const (
	selectMarks = "SELECT shard, generation, history FROM caches WHERE part = ?"
	insertMark  = "INSERT INTO caches (part, shard, generation, history) VALUES (?, ?, ?, ?) USING TIMESTAMP ?"
)

var _ store.CacheMarker = (*Store)(nil)

// CacheMarks implements store.CacheMarker. A quorum is read, and written: so the last mark that was written is seen.
func (s *Store) CacheMarks(ctx context.Context, shards []protocol.ShardID) ([]store.CacheMark, error) {
	if err := s.enter(); err != nil {
		return nil, fmt.Errorf("store/cassandra: read marks of the cache: %w", err)
	}
	defer s.calls.Done()
	began := time.Now()
	marks, err := s.cacheMarks(ctx, shards)
	s.metrics.observe(callMarks, began, err)
	if err != nil {
		return nil, fmt.Errorf("store/cassandra: read marks of the cache: %w", err)
	}
	return marks, nil
}

func (s *Store) cacheMarks(ctx context.Context, shards []protocol.ShardID) ([]store.CacheMark, error) {
	parts := make(map[int]map[protocol.ShardID]store.CacheMark)
	marks := make([]store.CacheMark, len(shards))
	for i, id := range shards {
		p := int(id) / claimsPart
		if parts[p] == nil {
			part, err := s.readMarks(ctx, p)
			if err != nil {
				return nil, err
			}
			parts[p] = part
		}
		marks[i] = parts[p][id]
	}
	return marks, nil
}

func (s *Store) readMarks(ctx context.Context, p int) (map[protocol.ShardID]store.CacheMark, error) {
	return read(ctx, s, func(ctx context.Context) (map[protocol.ShardID]store.CacheMark, error) {
		part := make(map[protocol.ShardID]store.CacheMark)
		rows := s.session.Query(selectMarks, p).Consistency(gocql.LocalQuorum).IterContext(ctx)
		var shard int32
		var generation int64
		var history string
		for rows.Scan(&shard, &generation, &history) {
			part[protocol.ShardID(shard)] = store.CacheMark{Generation: uint64(generation), History: history}
		}
		return part, rows.Close()
	})
}

// SetCacheMark implements store.CacheMarker. Its time stamp is that of device records: a newer owner's mark counts.
func (s *Store) SetCacheMark(ctx context.Context, at store.Owner, m store.CacheMark) error {
	if int(at.Shard) >= len(s.shards) || at.Epoch > mostEpoch {
		return fmt.Errorf("store/cassandra: mark the cache of shard %d at epoch %d: there are %d shards, and epochs to %d", at.Shard, at.Epoch, len(s.shards), mostEpoch)
	}
	if err := s.enter(); err != nil {
		return fmt.Errorf("store/cassandra: mark the cache of shard %d: %w", at.Shard, err)
	}
	defer s.calls.Done()
	began, timestamp := time.Now(), s.timestamp(at)
	err := s.write(ctx, func(ctx context.Context) error {
		return s.session.Query(insertMark, int(at.Shard)/claimsPart, int32(at.Shard), int64(m.Generation), m.History, timestamp).ExecContext(ctx)
	})
	s.metrics.observe(callMark, began, err)
	if err != nil {
		return fmt.Errorf("store/cassandra: mark the cache of shard %d: %w", at.Shard, err)
	}
	return nil
}
