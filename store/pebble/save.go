package pebble

import (
	"context"
	"fmt"

	"ramen/protocol"
	"ramen/store"
)

// Claim implements store.Store.
func (s *Store) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch) error {
	err := s.write(ctx, durable, func(o *ops) error {
		if err := s.epochs.claim(shards, epoch); err != nil {
			return err
		}
		o.claim(shards, epoch)
		return nil
	})
	if err != nil {
		return fmt.Errorf("store/pebble: claim %d shards at epoch %d: %w", len(shards), epoch, err)
	}
	return nil
}

// SaveDevices implements store.Store. An error leaves all of batch as it was, but ErrUnknown.
func (s *Store) SaveDevices(ctx context.Context, batch []store.DeviceSave, durably bool) error {
	how := lazily
	if durably {
		how = shared
	}
	for i := range batch {
		if err := checkUser(batch[i].User); err != nil {
			return fmt.Errorf("store/pebble: save device %q: %w", batch[i].Device.ID, err)
		}
	}
	err := s.write(ctx, how, func(o *ops) error {
		for i := range batch {
			if err := s.epochs.check(batch[i].Owner); err != nil {
				return fmt.Errorf("user %q: %w", batch[i].User, err)
			}
		}
		for i := range batch {
			o.mailbox(batch[i].Shard, batch[i].User)
			o.device(&batch[i])
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
	err := s.write(ctx, lazily, func(o *ops) error {
		for i := range batch {
			if err := s.epochs.check(batch[i].Owner); err != nil {
				return fmt.Errorf("user %q: %w", batch[i].User, err)
			}
		}
		for i := range batch {
			o.mailbox(batch[i].Shard, batch[i].User)
			for _, ref := range batch[i].Refs {
				o.drop(ref)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store/pebble: forget of %d users: %w", len(batch), err)
	}
	return nil
}

// write has the ops written that add puts into a group; add's error means that it put none.
func (s *Store) write(ctx context.Context, how urgency, add func(*ops) error) error {
	if err := s.space.admitRest(); err != nil {
		return err
	}
	var refused error
	g, err := s.commits.join(ctx, how, func(o *ops) bool {
		refused = add(o)
		return refused == nil
	})
	if err != nil {
		return err
	}
	if refused != nil {
		return refused
	}
	return s.commits.wait(ctx, g)
}
