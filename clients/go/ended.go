package ramen

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// unclearFor is how long an opening that was never answered may still reach the server, and supersede its successor.
const unclearFor = 30 * time.Second

// ended decides what follows a stream's end. An error ends Run.
func (k *keeper) ended(s *stream, err error) error {
	wasOpening := s == k.opening
	switch s {
	case k.opening:
		k.opening = nil
	case k.live:
		k.live = nil
		k.trial.stop()
	default: // it was replaced: whatever ended it, superseded too, is of no interest. SPEC 2.13.5
		k.leaving = slices.DeleteFunc(k.leaving, func(l *stream) bool { return l == s })
		return nil
	}
	e := reading(err)
	k.note(s, e, wasOpening)
	if final := k.final(s, e, wasOpening); final != nil {
		return final
	}
	k.judge(s, e)
	switch {
	case wasOpening && k.live != nil && !k.live.away:
		k.armTrial() // a trial that failed
	case k.opening != nil:
		if k.live == nil {
			k.d.enter(StateChange{State: StateConnecting, Transport: k.opening.transport})
		}
	case k.reopen.isSet():
		k.d.enter(StateChange{State: StateWaiting, Transport: k.choice.current(), Err: err})
	default:
		k.pause(e, err, wasOpening)
	}
	return nil
}

// end is an end, read.
type end struct {
	wire.EndError
	within time.Duration // a goaway's: the next stream's moment lies within it
	moving bool          // by a goaway of drain or rebalance
	silent bool
	own    bool // by the device's own choice, or the app's
}

func reading(err error) end {
	var e end
	var g *goneAway
	var w *wire.EndError
	switch {
	case errors.As(err, &g):
		e.EndError = g.EndError
		e.within = g.within
		e.moving = g.Reason == protocol.ReasonDrain || g.Reason == protocol.ReasonRebalance
	case errors.As(err, &w):
		e.EndError = *w
	}
	e.Err = err
	e.silent = errors.Is(err, errSilent)
	e.own = errors.Is(err, errHandler) || errors.Is(err, errGap) || errors.Is(err, errToken)
	return e
}

// note counts and logs, and changes nothing else.
func (k *keeper) note(s *stream, e end, wasOpening bool) {
	d := k.d
	if e.silent {
		d.count.silent.Add(1)
	}
	what := "stream ended"
	if wasOpening {
		what = "stream not opened"
	}
	d.cfg.Logger.Debug(what, "device", d.cfg.Device, "transport", s.transport, "reason", e.Reason.String(), "err", e.Err, "lived", time.Since(s.began))
}

// final is the error that ends Run, where no new stream can be better than this. SPEC 2.13.3, 2.13.4, 6.3.15
func (k *keeper) final(s *stream, e end, wasOpening bool) error {
	switch e.Reason {
	case protocol.ReasonSuperseded:
		if s.replaced || time.Now().Before(k.unclear) {
			return nil
		}
	case protocol.ReasonUnauthenticated, protocol.ReasonPermissionDenied:
		if k.d.tokens.refuse(s.currentToken()) {
			if k.d.cfg.OnToken != nil {
				k.d.cfg.OnToken()
			}
			return nil
		}
	case protocol.ReasonInvalidArgument:
		// Of a live stream it was a frame, say an ack of a place that the server has lost: a new stream begins without it.
		if !wasOpening {
			return nil
		}
	}
	err, ok := finalErrors[e.Reason]
	if !ok {
		return nil
	}
	return fmt.Errorf("%w (device %q, %s): %s", err, k.d.cfg.Device, s.transport, e.Detail)
}

// judge learns from the end: about the network's state, the transport, and openings that nobody answered.
func (k *keeper) judge(s *stream, e end) {
	lived := time.Duration(0)
	if !s.live.IsZero() {
		lived = time.Since(s.live)
	}
	if lived >= wire.StableAfter {
		k.backoff.Reset()
		k.choice.succeeded()
	}
	if e.silent && s.transport == GRPC {
		k.d.doubt()
	}
	if s.trial && s.live.IsZero() {
		k.choice.tried(false, time.Now())
	}
	if e.Reason != protocol.ReasonNone || e.own || e.moving {
		return
	}
	if s.live.IsZero() || s.transport == Poll {
		k.unanswered(e)
	}
	if !s.trial && !s.away && lived < wire.StableAfter && k.choice.failed(time.Now()) {
		k.d.count.fallbacks.Add(1)
	}
}

// unanswered notes an opening that got no answer. One that never left the device cannot have superseded anything.
func (k *keeper) unanswered(e end) {
	var dial *net.OpError
	if !errors.As(e.Err, &dial) || dial.Op != "dial" {
		k.unclear = time.Now().Add(unclearFor)
	} else if k.live != nil {
		k.live.replaced = false
	}
}

// pause waits for the next opening. SPEC 2.13.1
func (k *keeper) pause(e end, cause error, wasOpening bool) {
	delay := k.backoff.Within(e.within)
	if !e.moving || wasOpening {
		delay += e.RetryAfter + k.backoff.Next()
	}
	if k.offline && k.live == nil {
		k.d.enter(StateChange{State: StateOffline, Err: cause})
		return
	}
	k.reopen.set(delay)
	if k.live != nil {
		return // still online
	}
	k.d.enter(StateChange{State: StateWaiting, Transport: k.choice.current(), Delay: delay, Err: cause})
}
