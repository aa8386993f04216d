package memory

import (
	"context"
	"sync"

	"ramen/protocol"
	"ramen/store"
)

// Kind is the call that a script is asked about.
type Kind uint8

// The kinds of calls.
const (
	OpClaim Kind = iota + 1 // once a shard
	OpLoad
	OpAppend      // once an element
	OpSaveDevices // once an element, as OpForget
	OpForget
	OpScanExpired
	OpAdmit
	OpRenew    // of a Shared, as those that follow
	OpClaims   // once a shard
	OpPresence // of an owner whose claims are read
	OpReplace
)

var kindNames = [...]string{"", "claim", "load", "append", "save_devices", "forget", "scan_expired", "admit", "renew", "claims", "presence", "replace"}

func (k Kind) String() string { return kindNames[k] }

// Op is one call, before it takes effect.
type Op struct {
	Kind Kind
	store.Owner
	Name     string            // of OpRenew and OpPresence: who is there
	User     protocol.UserID   // of Load and Replace, of an Append's, SaveDevices' or Forget's element
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
	// Answer is called once the call took effect, where it does: while it waits, the answer is on its way.
	Answer func()
	// Late, of an append: Err is answered, and the append arrives at the disk at Late.Arrive, behind what was appended since. A loss
	// of its owner's claim, or a later append, makes it change nothing.
	Late *Delayed
}

// Delayed is an append that arrives at the disk later than it was answered.
type Delayed struct {
	mu     sync.Mutex
	arrive func() // nil: no append was delayed
}

// Arrive has the append arrive now, if it was handed over.
func (d *Delayed) Arrive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.arrive != nil {
		d.arrive()
		d.arrive = nil
	}
}

// Script decides on each call before it takes effect. It may wait, for a channel or for the end of ctx: other calls, and other
// elements of an Append, go on meanwhile. So answers come late, in any order, or never before the deadline. A script that
// waits out a deadline answers Fault{Err: an error that wraps store.ErrUnknown}.
type Script func(ctx context.Context, op Op) Fault

// Script replaces the script; nil is none.
func (s *Store) Script(f Script) {
	if f == nil {
		s.script.Store(nil)
		return
	}
	s.script.Store(&f)
}
