package gateway

import (
	"context"
	"log/slog"
	"sync"

	"ramen/link"
	"ramen/protocol"
)

// State is where a shard stands in its life in this gateway:
//
//	none ──▶ taking ──▶ serving ──▶ releasing ──▶ none
//	           │ fenced    │ fenced, or the lease has ended
//	           └──▶ lost ◀─┴────────────┘
//	                 └───▶ none
//
// Taking also goes back to none, where the store refuses for another reason than a fence, and where the shard is released meanwhile.
type State uint8

// The states, in the order of a life. In serving alone mailboxes are opened, acked, pushed, saved and written. While releasing what
// is being written is waited for; while lost nothing is, and the mailboxes are only cleared away.
const (
	StateNone State = iota
	StateTaking
	StateServing
	StateReleasing
	StateLost
	states
)

func (s State) String() string {
	return [...]string{"none", "taking", "serving", "releasing", "lost"}[s]
}

// follows has the states that may follow each.
var follows = [states][states]bool{
	StateNone:      {StateTaking: true},
	StateTaking:    {StateServing: true, StateLost: true, StateNone: true},
	StateServing:   {StateReleasing: true, StateLost: true},
	StateReleasing: {StateNone: true, StateLost: true},
	StateLost:      {StateNone: true},
}

// Event tells of one transition in the life of a shard.
type Event struct {
	Shard    protocol.ShardID
	Epoch    protocol.Epoch // of the ownership
	From, To State
	Loss     link.Loss // what streams and callers are told, from releasing and lost on
	Cause    error     // why it was lost, or not taken; may be nil
}

// change is a transition to make.
type change struct {
	to    State
	loss  link.Loss
	cause error
}

// move makes a transition in the life of s, for its ownership own, and tells it; it does nothing, and reports false, where own is not the
// one that s has or does not stand where to may follow. It is the only place in which a state changes. s.mu is not held; a box's may be.
func (s *shard) move(own *ownership, c change) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moveLocked(own, c)
}

func (s *shard) moveLocked(own *ownership, c change) bool {
	from := own.stateNow()
	if current := s.own.Load(); current != own && (current != nil || from != StateNone) {
		return false
	}
	if !follows[from][c.to] {
		return false
	}
	if c.to == StateReleasing || c.to == StateLost {
		c.loss.Below = max(c.loss.Below, own.Owner.Epoch+1)
		s.below = max(s.below, c.loss.Below)
		own.loss.Store(&c.loss) // before the state: who sees that reads this
	}
	own.state.Store(uint32(c.to))
	if c.to == StateNone {
		s.own.Store(nil)
	} else {
		s.own.Store(own)
	}
	s.g.tell(Event{Shard: s.id, Epoch: own.Owner.Epoch, From: from, To: c.to, Loss: own.lossNow(), Cause: c.cause})
	return true
}

// tell has the log, the metrics and the topology's agent know of a transition.
func (g *Gateway) tell(e Event) {
	g.metrics.shards[e.From].Add(-1)
	g.metrics.shards[e.To].Add(1)
	g.metrics.transitions[e.To].Inc()
	if g.log.Enabled(context.Background(), slog.LevelDebug) {
		g.log.Debug("shard changed its state", append([]any{"from", e.From.String(), "to", e.To.String()}, g.logged(&e)...)...)
	}
	if g.onShard != nil {
		g.onShard(e)
	}
	if e.To == StateLost {
		g.losses.add(e)
		select {
		case g.lost <- struct{}{}: // the sweeper clears it away
		default:
		}
	}
}

// logged is what the log has of an event. The names are those of a controller's and a member's lines, so that one search has all of a shard.
func (g *Gateway) logged(e *Event) []any {
	args := []any{"shard", e.Shard, "epoch", e.Epoch, "member", g.owner}
	if e.To == StateLost {
		args = append(args, "reason", e.Loss.Reason.String(), "below", e.Loss.Below)
	}
	if e.Cause != nil {
		args = append(args, "error", e.Cause)
	}
	return args
}

// losses are the shards that were lost and that the log does not know of yet: nearly always many at once, for one cause.
type losses struct {
	mu sync.Mutex
	// guarded by mu
	n     int
	first Event
}

func (l *losses) add(e Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n == 1 {
		l.first = e
	}
}

// tellLosses has the log know of the shards that were lost since, in one line.
func (g *Gateway) tellLosses() {
	g.losses.mu.Lock()
	n, first := g.losses.n, g.losses.first
	g.losses.n = 0
	g.losses.mu.Unlock()
	if n > 0 {
		g.log.Warn("lost shards", append([]any{"shards", n}, g.logged(&first)...)...)
	}
}

// notOwnerLocked is the answer to a call at an epoch that the shard is not served at here. With s.mu held.
func (s *shard) notOwnerLocked() error {
	below := s.below
	if own := s.own.Load(); own != nil {
		if own.stateNow() != StateServing {
			return own.refusal()
		}
		below = own.Owner.Epoch
	}
	return notOwner(link.Loss{Reason: protocol.ReasonRebalance, Below: below})
}

// notOwner is link.ErrNotOwner with what is known.
func notOwner(l link.Loss) error {
	if l.Below == 0 {
		return link.ErrNotOwner
	}
	return (*link.NotOwnerError)(&l)
}
