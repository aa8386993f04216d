package lease

import (
	"context"
	"sync/atomic"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// FollowConfig is what claims are followed by, by who owns no shard.
type FollowConfig struct {
	Store  store.Shared
	Shards int
	// Read is called with the claims of all shards, and why each was not read, as they are read. It answers whether shards are on their way, so
	// that the next reading is to be soon.
	Read func(claims []store.Claimed, errs []error) (hurry bool)
}

// Follower reads the claims of a store.
type Follower struct {
	cfg  FollowConfig
	read atomic.Int64 // when a reading was sent last that had any claim, in Unix ns
	stop context.CancelFunc
	done chan struct{}
}

// Follow reads the claims until Close; it has read them once, or tried to, when it returns.
func Follow(ctx context.Context, cfg FollowConfig) *Follower {
	run, stop := context.WithCancel(context.Background())
	f := &Follower{cfg: cfg, stop: stop, done: make(chan struct{})}
	hurry := f.once(ctx)
	go f.run(run, hurry)
	return f
}

// Close ends it.
func (f *Follower) Close() {
	f.stop()
	<-f.done
}

// Age is how long ago the last reading was sent that had any claim; more than any time where there was none.
func (f *Follower) Age() time.Duration { return time.Since(time.Unix(0, f.read.Load())) }

func (f *Follower) run(ctx context.Context, hurry bool) {
	defer close(f.done)
	for {
		pause := every
		if hurry {
			pause = hurryEvery
		}
		next := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		}
		hurry = f.once(ctx)
	}
}

func (f *Follower) once(ctx context.Context) (hurry bool) {
	all := make([]protocol.ShardID, f.cfg.Shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	sent := time.Now()
	bounded, cancel := context.WithTimeout(ctx, every)
	claims, errs := f.cfg.Store.Claims(bounded, all)
	cancel()
	if ctx.Err() != nil {
		return false
	}
	for i := range all {
		if errs == nil || errs[i] == nil {
			f.read.Store(sent.UnixNano())
			break
		}
	}
	return f.cfg.Read(claims, errs)
}
