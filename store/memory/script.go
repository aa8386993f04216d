package memory

import (
	"context"

	"ramen/protocol"
	"ramen/store"
)

// Kind is the call that a script is asked about.
type Kind uint8

// The kinds of calls.
const (
	OpClaim Kind = iota + 1
	OpLoad
	OpAppend // once an element
	OpSaveDevices
	OpForget
	OpLapsed
	OpAdmit
)

var kindNames = [...]string{"", "claim", "load", "append", "save_devices", "forget", "lapsed", "admit"}

func (k Kind) String() string { return kindNames[k] }

// Op is one call, before it takes effect.
type Op struct {
	Kind Kind
	store.Owner
	User     protocol.UserID   // of the first element
	Append   *store.Append     // of OpAppend; not to be kept
	Durable  bool              // of OpSaveDevices
	Priority protocol.Priority // of OpAdmit
}

// Fault is what becomes of a call. The zero Fault lets it through.
type Fault struct {
	// Err is answered. An error that wraps store.ErrUnknown is answered after the call took effect, unless Lost; any
	// other error instead of it.
	Err error
	// Lost: the call takes no effect, whatever is answered. Without Err, a lazy save that a crash lost.
	Lost bool
}

// Script decides on each call before it takes effect. It may wait, for a channel or for the end of ctx; other calls go
// on meanwhile. A script that waits out a deadline answers Fault{Err: an error that wraps store.ErrUnknown}.
type Script func(ctx context.Context, op Op) Fault

// Script replaces the script; nil is none.
func (s *Store) Script(f Script) {
	if f == nil {
		s.script.Store(nil)
		return
	}
	s.script.Store(&f)
}
