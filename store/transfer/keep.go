package transfer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ramen/store"
)

// Of stores that are shared, as package store has it of store.Shared: claims are renewed and read again every 0.8 s, and an owner stops
// 2.4 s after it last could.
const (
	renewEvery = 800 * time.Millisecond
	leaseTime  = 2400 * time.Millisecond
)

// keep has the claims renewed, where a store is shared, until release is called, which says what was lost meanwhile; ctx ends then.
// Where a store does not fence writes of the owner before, it waits first until that one must have stopped.
func (c *copier) keep(ctx context.Context) (_ context.Context, release func() error, _ error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	stop := make(chan struct{})
	for which, s := range map[string]store.Store{"source": c.From, "target": c.To} {
		shared, ok := s.(store.Shared)
		if !ok {
			continue
		}
		renewing.Go(func() {
			if err := c.renew(ctx, shared, stop); err != nil {
				cancel(fmt.Errorf("the %s: %w", which, err))
			}
		})
	}
	release = func() error {
		close(stop)
		renewing.Wait()
		err := context.Cause(ctx)
		cancel(nil)
		return err
	}
	if c.mustWait() {
		c.phase("waiting for servers to stop", 0)
		t := time.NewTimer(leaseTime)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil, nil, release()
		}
	}
	return ctx, release, nil
}

func (c *copier) mustWait() bool {
	for _, s := range []store.Store{c.From, c.To} {
		if shared, ok := s.(store.Shared); ok && !shared.Fences() {
			return true
		}
	}
	return false
}

// renew says that this owner is there, and looks whether it still is the owner, until stop is closed.
func (c *copier) renew(ctx context.Context, s store.Shared, stop <-chan struct{}) error {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	last := time.Now()
	for {
		began := time.Now()
		err := c.renewOnce(ctx, s)
		switch {
		case err == nil:
			last = began
		case errors.Is(err, store.ErrFenced) || time.Since(last) > leaseTime:
			return err
		}
		select {
		case <-tick.C:
		case <-stop:
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTime)
			defer cancel()
			return errors.Join(c.renewOnce(ctx, s), s.Renew(ctx, c.owner, 0))
		case <-ctx.Done():
			return nil
		}
	}
}

func (c *copier) renewOnce(ctx context.Context, s store.Shared) error {
	ctx, cancel := context.WithTimeout(ctx, leaseTime)
	defer cancel()
	if err := s.Renew(ctx, c.owner, leaseTime); err != nil {
		return err
	}
	claims, errs := s.Claims(ctx, c.shards())
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for shard, claim := range claims {
		if claim.Epoch != c.epoch || claim.Owner != c.owner {
			return fmt.Errorf("a server has taken shard %d meanwhile: %w", shard, &store.FencedError{Epoch: claim.Epoch, Owner: claim.Owner})
		}
	}
	return nil
}
