package pebble

import (
	"context"
	"encoding/binary"
	"fmt"

	engine "github.com/cockroachdb/pebble/v2"

	"ramen/protocol"
	"ramen/store"
)

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch) error {
	err := s.write(ctx, true, func(b *engine.Batch) error {
		if err := s.epochs.claim(shards, epoch); err != nil {
			return err
		}
		for _, shard := range shards {
			s.rows.key = appendEpochKey(s.rows.key[:0], shard)
			s.rows.value = binary.BigEndian.AppendUint64(s.rows.value[:0], uint64(epoch))
			_ = b.Set(s.rows.key, s.rows.value, nil)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store/pebble: claim %d shards at epoch %d: %w", len(shards), epoch, err)
	}
	return nil
}

// SaveDevices implements store.Store. An error leaves all of batch as it was, but ErrUnknown.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) error {
	for i := range batch {
		if err := checkUser(batch[i].User); err != nil {
			return fmt.Errorf("store/pebble: save device %q: %w", batch[i].Device.ID, err)
		}
	}
	err := s.write(ctx, durable, func(b *engine.Batch) error {
		for i := range batch {
			if err := s.epochs.check(batch[i].Owner); err != nil {
				return fmt.Errorf("user %q: %w", batch[i].User, err)
			}
		}
		for i := range batch {
			s.rows.device(b, &batch[i])
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store/pebble: save %d devices: %w", len(batch), err)
	}
	return nil
}

// Forget implements store.Store. An error leaves all of batch as it was, but ErrUnknown.
func (s *Store) Forget(ctx context.Context, batch []store.Forget) error {
	for i := range batch {
		if err := checkUser(batch[i].User); err != nil {
			return fmt.Errorf("store/pebble: forget: %w", err)
		}
	}
	err := s.write(ctx, false, func(b *engine.Batch) error {
		for i := range batch {
			if err := s.epochs.check(batch[i].Owner); err != nil {
				return fmt.Errorf("user %q: %w", batch[i].User, err)
			}
		}
		for i := range batch {
			for _, ref := range batch[i].Refs {
				s.rows.drop(b, batch[i].Shard, batch[i].User, ref)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store/pebble: forget of %d users: %w", len(batch), err)
	}
	return nil
}

// write commits what add puts into the batch; add's error means that it put nothing.
func (s *Store) write(ctx context.Context, durable bool, add func(*engine.Batch) error) error {
	if err := s.space.admitRest(); err != nil {
		return err
	}
	var refused error
	g, err := s.commits.join(ctx, durable, func(b *engine.Batch) { refused = add(b) })
	if err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	return s.commits.wait(ctx, g)
}
