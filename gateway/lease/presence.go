package lease

import (
	"context"
	"sync"
	"time"
)

// presence says in the store that this process is there, for as long as it is to be said: every 0.8 s, for as long as a lease.
type presence struct {
	cfg     Config
	changed chan struct{} // of capacity 1: wanted is another

	mu     sync.Mutex
	wanted bool // guarded by mu

	saying chan struct{} // of capacity 1: the token of whoever calls the store, so that what is said last holds
	// of whoever has the token
	said   time.Time // when it was last said with success that this process is there; zero: it is not, as far as is known
	failed bool      // the last call did, and the log knows
}

func (p *presence) init(cfg Config) {
	p.cfg, p.changed, p.saying = cfg, make(chan struct{}, 1), make(chan struct{}, 1)
}

// want has it be said that this process is there, or not any more.
func (p *presence) want(is bool) {
	p.mu.Lock()
	same := p.wanted == is
	p.wanted = is
	p.mu.Unlock()
	if same {
		return
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *presence) isWanted() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wanted
}

// run says it until ctx ends.
func (p *presence) run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		case <-tick.C:
		}
		_ = p.say(ctx, 0) // the log knows
	}
}

// say says what is wanted, unless it was said within the time that is fresh. An error says that the store may not know of it.
func (p *presence) say(ctx context.Context, fresh time.Duration) error {
	p.saying <- struct{}{} // a call takes 0.8 s at most
	defer func() { <-p.saying }()
	wanted := p.isWanted()
	if !wanted && p.said.IsZero() || wanted && !p.said.IsZero() && time.Since(p.said) < fresh {
		return nil
	}
	ttl := length
	if !wanted {
		ttl = 0
	}
	began := time.Now()
	bounded, cancel := context.WithTimeout(ctx, every)
	defer cancel()
	err := p.cfg.Store.Renew(bounded, p.cfg.Owner, ttl)
	switch {
	case ctx.Err() != nil:
	case err != nil && !p.failed:
		p.cfg.Log.Warn("this process cannot say in the store that it is there, or has gone; others may take its shards", "error", err)
	case err == nil && p.failed:
		p.cfg.Log.Info("this process says in the store again that it is there")
	}
	p.failed = err != nil
	if err == nil {
		if p.said = began; !wanted {
			p.said = time.Time{}
		}
	}
	return err
}
