// Package store is the contract of what keeps mailboxes: an append-only log a user, and a small record a device.
//
// Guarantees of every implementation:
//
//  1. What Append answered nil for survives a kill of the process and a loss of power (what Durable says).
//
//  2. For each user of an Append it succeeded, failed, or is unknown (ErrUnknown, a deadline): never a part of it.
//     Appends of one user take effect in the order of the calls, also where an earlier one was answered ErrUnknown.
//
//  3. A call with an epoch older than the shard's last Claim is ErrFenced and changes nothing, where the store can tell.
//
//  4. Load gives every entry that was appended and neither killed nor forgotten, expired ones too as long as the store
//     still has them, in order of position; and of two entries of one id only the one with the higher position.
//
//  5. An id is in Load's Seen for at least the retention that the store was opened with, from its acceptance, whatever
//     became of the message.
//
//  6. Values handed over are not changed by either side. The slices of a batch, and those in its elements, are the
//     caller's again once the call has returned, but for an Append in which an element's outcome is unknown.
//
//  7. Of the Forgets and SaveDevices of one user, in the order of the calls, a later one does not survive a crash without the
//     earlier, and of the Refs of one Forget all do or none: otherwise a message that expired would be counted for a device a
//     second time, or one that was replaced would come back once what replaced it was forgotten.
//
//  8. There is one order of all writes: what a SaveDevices or Forget that was answered nil did survives wherever an Append
//     survives that was called afterwards, and answered nil.
//
//  9. What Append killed does not come back, whatever becomes of the entries of that Append: also where the store was told to
//     forget it before, or does not have it. Where rows leave by TTL, the mark lives as long as what it kills.
//
// Of the entries of a user with one collapse key, Device and Where the one with the highest position counts, in whichever lane:
// the positions of a user grow over all lanes. A store need not know keys. The owner kills with each entry whatever the store may
// still have of the same key; and of what a Load gives it drops all but the newest, and forgets the others before anything else
// of that user.
//
// Implementations are safe for concurrent use. Every call honours its context's deadline.
package store

import (
	"context"
	"errors"

	"ramen/protocol"
)

// ErrFenced is the answer to an epoch that is not the shard's newest: somebody else owns it now.
var ErrFenced = errors.New("store: shard is owned at another epoch")

// ErrUnknown wraps the answer where the store cannot tell whether a write took effect.
var ErrUnknown = errors.New("store: outcome unknown")

// ErrClosed is the answer after Close.
var ErrClosed = errors.New("store: closed")

// Identity is what makes a store's cursors its own: drawn at random when the store is created, and kept in it.
type Identity struct {
	Generation uint32
	Key        [16]byte // secret
}

// Owner names the shard, and the epoch at which the caller owns it.
type Owner struct {
	Shard protocol.ShardID
	Epoch protocol.Epoch
}

// Store keeps mailboxes.
type Store interface {
	// Identity is the same from the store's creation on.
	Identity() Identity
	// LastEpoch is the highest epoch at which any shard was ever claimed; 0 for a new store.
	LastEpoch(ctx context.Context) (protocol.Epoch, error)
	// Claim takes shards at epoch, durably. ErrFenced where one was claimed at a higher epoch; claiming again at the same epoch is fine.
	Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch) error
	// Load reads one user's mailbox; an unknown user's is empty.
	Load(ctx context.Context, at Owner, user protocol.UserID) (Mailbox, error)
	// Append adds entries and kills others, durably: an error for each element, nil where it succeeded.
	Append(ctx context.Context, batch []Append) []error
	// SaveDevices writes device records. With durable it survives what an Append survives when it returns; otherwise soon.
	SaveDevices(ctx context.Context, batch []DeviceSave, durable bool) error
	// Forget drops entries that nobody needs any more, at leisure: they may come back after a crash.
	Forget(ctx context.Context, batch []Forget) error
	// Close ends the store, having written what was saved lazily.
	Close() error
}

// Lapser is a store that can name users with something in it that time has ended, so that the owner loads them, counts and forgets it.
type Lapser interface {
	// Lapsed names up to limit users of the shard with an entry that expired before beforeMS, or a device last seen
	// before unseenMS, going on after the user given (empty: from the start).
	Lapsed(ctx context.Context, at Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) ([]protocol.UserID, error)
}

// Admitter is a store that may have to refuse before it is in trouble: a disk that runs full, say.
type Admitter interface {
	// Admit answers nil, or an error that says why nothing of that priority is taken now. An Append is taken by the
	// highest priority in it: the low ones of a step whose outcome was unknown must not hold up what comes with them.
	Admit(p protocol.Priority) error
}

// Readier is a store that can say, without writing and without counting a refusal, whether it takes messages.
type Readier interface {
	// Ready answers nil, or an error that says why messages of high priority are not taken now: no room, or a disk that does
	// not answer. It does not wait.
	Ready() error
}

// Ref names an entry of a mailbox.
type Ref struct {
	Priority protocol.Priority
	Position protocol.Position
}

// Entry is one message in a mailbox. Its lane is Message.Priority.
type Entry struct {
	Position protocol.Position
	Message  *protocol.Message
	Device   protocol.DeviceID // empty: every device of the user
	Where    map[string]string
}

// Append is a step of one user's log: everything in it happens, or nothing. It may have kills alone.
type Append struct {
	Owner
	User    protocol.UserID
	Entries []Entry
	Kills   []Ref // entries of this user that must not come back, those of this Append among them
}

// Mailbox is what a store has of one user.
type Mailbox struct {
	Entries []Entry // in order of position within each priority
	Devices []Device
	Seen    []Seen
}

// Seen is an id that was accepted not long ago.
type Seen struct {
	ID         protocol.MessageID
	AcceptedMS int64 // Unix ms
}

// Device is the saved state of one device.
type Device struct {
	ID         protocol.DeviceID
	Acked      protocol.Cursor // what the device has acked
	Pushed     protocol.Cursor // the furthest it was ever pushed
	Expired    uint32          // messages for it that expired unacked since its last hello
	Greeted    bool            // it has had a hello
	Live       bool            // it had a stream when this was written
	Transport  protocol.Transport
	LastSeenMS int64 // Unix ms
	Context    *protocol.DeviceContext
}

// DeviceSave writes, or removes, the record of one device.
type DeviceSave struct {
	Owner
	User   protocol.UserID
	Remove bool // only Device.ID counts
	Device Device
}

// Forget drops entries of one user.
type Forget struct {
	Owner
	User protocol.UserID
	Refs []Ref
}
