package gateway

import (
	"context"
	"errors"
	"math"
	"sync/atomic"
	"time"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
)

// ownership is one time in which a shard is owned, at one epoch.
type ownership struct {
	mailbox.Scope
	g        *Gateway
	shard    *shard
	unbroken bool   // immutable: this process has owned the shard before, and nobody since
	history  string // immutable: of the store's copy when it was taken

	state atomic.Uint32             // a State; shard.move sets it
	loss  atomic.Pointer[link.Loss] // set before the state is releasing or lost; a release may yet be lost
	lease atomic.Int64              // until when the owner may act, as Gateway.sinceStart; forever: there is none

	// guarded by shard.mu
	probes int    // mailboxes, of those being loaded again too, of which it is to be seen yet whether the store has lost something
	copy   string // the history of the store's copy in which that is looked for

	writes  atomic.Int64  // appends and saves under way
	noWrite chan struct{} // of capacity 1: gets a token when the last of them ends while it is not served
}

// forever is the end of a lease that has none.
const forever = math.MaxInt64

// errLeaseEnded is why a shard is lost whose lease was not renewed in time.
var errLeaseEnded = errors.New("gateway: the lease has ended")

func (o *ownership) stateNow() State { return State(o.state.Load()) }

// lossNow is what streams and callers are told, from releasing and lost on.
func (o *ownership) lossNow() link.Loss {
	if l := o.loss.Load(); l != nil {
		return *l
	}
	return link.Loss{}
}

// gate answers nil while the mailboxes of the shard may be touched: it is served, and the lease holds. All that opens, acks, pushes,
// saves or writes comes through here: on acquire, on box.enter, on beginWrite, and where a stream takes its next pushes.
func (o *ownership) gate() error {
	if o.stateNow() == StateServing && !o.leaseEnded() {
		return nil
	}
	return o.refusal()
}

// refusal is what a call is answered that the gate stops.
func (o *ownership) refusal() error {
	switch o.stateNow() {
	case StateTaking:
		return link.ErrNotOwner
	case StateServing: // its lease has ended, and nobody has noticed yet
		return notOwner(leaseLoss(o.Owner.Epoch))
	}
	return notOwner(o.lossNow())
}

// leaseLoss is what is told where the lease has ended.
func leaseLoss(epoch protocol.Epoch) link.Loss {
	return link.Loss{Reason: protocol.ReasonUnavailable, Below: epoch + 1}
}

// over reports whether the mailboxes may not change any more, not by what was under way either.
func (o *ownership) over() bool {
	s := o.stateNow()
	return s == StateNone || s == StateLost
}

// leaseEnded reports whether the owner may not act any more. Once it has, it stays so.
func (o *ownership) leaseEnded() bool {
	until := o.lease.Load()
	return until != forever && o.g.sinceStart() >= until
}

// renew has the lease last until then, unless it has ended meanwhile.
func (o *ownership) renew(until int64) bool {
	for {
		last := o.lease.Load()
		if last == forever {
			return true
		}
		if o.g.sinceStart() >= last {
			return false
		}
		if until <= last || o.lease.CompareAndSwap(last, until) {
			return true
		}
	}
}

// beginWrite is before an append or a save; endWrite follows where it answered nil. So a release can wait for what is under way:
// whoever is not seen by it here sees the state there.
func (o *ownership) beginWrite() error {
	o.writes.Add(1)
	if err := o.gate(); err != nil {
		o.endWrite()
		return err
	}
	return nil
}

// mayWrite reports whether a write that has begun may go on with its next call of the store.
func (o *ownership) mayWrite() bool { return !o.over() && !o.leaseEnded() }

func (o *ownership) endWrite() {
	if o.writes.Add(-1) == 0 && o.stateNow() != StateServing {
		select {
		case o.noWrite <- struct{}{}:
		default:
		}
	}
}

// awaitWrites waits until no append and no save of the shard is under way. The state is no longer serving.
func (o *ownership) awaitWrites(ctx context.Context) error {
	for o.writes.Load() > 0 {
		select {
		case <-o.noWrite:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// lose gives the shard up at once: somebody else owns it, or the lease has ended.
func (o *ownership) lose(l link.Loss, cause error) bool {
	return o.shard.move(o, change{to: StateLost, loss: l, cause: cause})
}

// holds answers whether what the store has just done may be told: the lease must not have ended meanwhile. Where it has, the shard is
// lost.
func (o *ownership) holds() bool {
	if o.lease.Load() != forever {
		o.g.loseWhereSlept()
	}
	if !o.leaseEnded() {
		return !o.over()
	}
	o.lose(leaseLoss(o.Owner.Epoch), errLeaseEnded)
	return false
}

// sinceStart is the monotonic time since the gateway started, in ns.
func (g *Gateway) sinceStart() int64 { return int64(time.Since(g.started)) }
