// Package store is the contract of what keeps mailboxes: an append-only log a user, and a small record a device.
//
// All guarantees are for one user at a time: nothing orders two users, who may be on two nodes. Of every implementation:
//
//  1. What Append answered nil for survives a kill of the process, and a loss of power as far as the store is
//     configured for it.
//
//  2. Each element of an Append has exactly one answer, as soon as its outcome is known: it succeeded, failed, or is unknown
//     (ErrUnknown, a deadline), never a part of it. Elements are answered in any order: a slow one holds up no other. A
//     caller has one Append of a user under way at a time.
//
//  3. While the outcome of a write is unknown, its owner writes it again before, or with, the next: the same entries at the
//     same positions and the same kills, so that it happens once however often it is written. A write that takes effect
//     late changes nothing that a later Append, answered nil, has done: it doubles no entry, and brings none back.
//
//  4. A call with an epoch older than the shard's last Claim is ErrFenced and changes nothing, where the store can tell.
//
//  5. Load gives every entry that was appended and neither killed nor forgotten (Refs, Below), expired ones too as long as the store
//     still has them, in order of position; and of two entries of one id only the one with the higher position.
//
//  6. An id is in Load's Seen for at least the retention that the store was opened with, from its acceptance (AcceptedMS), whatever
//     became of the message.
//
//  7. Values handed over are not changed by either side. The slices of a batch, and those in its elements, are the caller's
//     again once all of it was answered, but for an Append in which an element's outcome is unknown.
//
//  8. Of the Forgets and SaveDevices of one user, in the order of the calls, a later one does not survive a crash without the
//     earlier, and of the Refs of one Forget all do or none: otherwise a message that expired would be counted for a device a
//     second time, or one that was replaced would come back once what replaced it was forgotten. And what they did survives
//     wherever an Append of that user survives that was called after they were answered nil.
//
//  9. What Append killed does not come back, whatever becomes of the entries of that Append: also where the store was told to
//     forget it before, or does not have it. Where rows leave by TTL, the mark lives as long as what it kills.
//
// Of the entries of a user with one collapse key, Device and Where the one with the highest position counts, in whichever lane:
// the positions of a user grow over all lanes. A store need not know keys. The owner kills with each entry whatever the store may
// still have of the same key; and of what a Load gives it drops all but the newest, and forgets the others before anything else
// of that user.
//
// Claim, Claims, SaveDevices and Forget answer nil where all of it was done, and else an error for each shard or element, in order.
//
// Implementations are safe for concurrent use. Every call honours its context's deadline.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/protocol"
)

// ErrFenced is the answer to an epoch that is not the shard's newest: somebody else owns it now.
var ErrFenced = errors.New("store: shard is owned at another epoch")

// FencedError is an ErrFenced that says who owns the shard.
type FencedError struct {
	Epoch protocol.Epoch // at which it was claimed last; 0: never
	Owner string         // who claimed it; empty: not known
}

func (e *FencedError) Error() string {
	switch {
	case e.Epoch == 0:
		return "store: shard was never claimed"
	case e.Owner == "":
		return fmt.Sprintf("store: shard is claimed at epoch %d", e.Epoch)
	}
	return fmt.Sprintf("store: shard is claimed at epoch %d by %s", e.Epoch, e.Owner)
}

// Is has errors.Is(err, ErrFenced) hold.
func (e *FencedError) Is(target error) bool { return target == ErrFenced }

// LastError is the answer to an Append whose Last is not the mailbox's last position. Nothing was done.
type LastError struct {
	Last protocol.Position // of what the store has; zero: it has nothing of the mailbox
}

func (e *LastError) Error() string {
	return fmt.Sprintf("store: the mailbox's last position is %d-%d", e.Last.Epoch, e.Last.Micros)
}

// ErrUnknown wraps the answer where the store cannot tell whether a write took effect.
var ErrUnknown = errors.New("store: outcome unknown")

// ErrReplaced is the answer to a Claim where the store was given another identity since it was opened: by an Adopter or a Retirer.
var ErrReplaced = errors.New("the store has another identity since it was opened: a copy to it, or from it, was made; open it again")

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
	// Claim takes shards at epoch, durably, in the name of a process; each by itself. It is refused with a *FencedError where
	// the store knows a higher epoch, or the same of another owner; claiming again at the same epoch and by the same owner is fine.
	Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error
	// Load reads one user's mailbox; an unknown user's is empty.
	Load(ctx context.Context, at Owner, user protocol.UserID) (Mailbox, error)
	// Append adds entries and kills others, durably, at most one element a user. answer is called once for each, from any
	// goroutine, several at once or before Append returns; it must not block. Append need not wait for all answers.
	Append(ctx context.Context, batch []Append, answer func(i int, err error))
	// SaveDevices writes device records. With durable they survive what an Append survives when it returns; otherwise soon.
	SaveDevices(ctx context.Context, batch []DeviceSave, durable bool) []error
	// Forget drops entries that nobody needs any more, at leisure: they may come back after a crash.
	Forget(ctx context.Context, batch []Forget) []error
	// Close ends the store, having written what was saved lazily.
	Close() error
}

// ExpiryScanner is a store that can name users with something in it that time has ended, so that the owner loads them, counts and
// forgets it.
type ExpiryScanner interface {
	// ScanExpired names up to limit users of the shard with an entry that expired before beforeMS, or a device last seen
	// before unseenMS, going on after the user given (empty: from the start).
	ScanExpired(ctx context.Context, at Owner, after protocol.UserID, beforeMS, unseenMS int64, limit int) ([]protocol.UserID, error)
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

// Shared is a store that several processes may open at once. Without a topology its claims are their lease: an owner says that it is
// there and reads its claims again every 0.8 s, and stops serving a shard where another one has claimed, or where it could not read the
// claim for 2.4 s.
type Shared interface {
	// Renew says that owner is there, for so long from now; 0: that it has gone.
	Renew(ctx context.Context, owner string, ttl time.Duration) error
	// Claims reads the claims of shards, in order, as a Claim would find them. As Claim it answers nil for errors where all were read,
	// and else one for each shard, in order: a part of the store that does not answer before the deadline holds up no other shard.
	Claims(ctx context.Context, shards []protocol.ShardID) ([]Claimed, []error)
	// Fences reports whether Append, SaveDevices and Forget of an older epoch are refused. Where they are not, who takes a shard waits
	// until the lease of the one before must have ended, and loads then.
	Fences() bool
}

// Claimed is the claim of one shard.
type Claimed struct {
	Epoch   protocol.Epoch // at which it was claimed last; 0: never, or the store has lost it
	Owner   string         // who claimed it; empty: not known
	Present bool           // Owner has said by Renew that it is there, and that time has not passed
	// PresenceUnread: whether Owner is there could not be read. Then Present is true: it may be.
	PresenceUnread bool
	// Above: claims that followed, at epochs up to this one, may have been made and be lost; 0: none can be. Whoever claims next does so
	// above it: at a lost epoch positions were given already, and devices have acked them.
	Above protocol.Epoch
	// History names the copy of the shard's data that has answered; empty: the store cannot lose what it has answered. Where it
	// changes (a replica was promoted, a server lost its memory), what was answered nil before may be gone. Then the owner claims
	// the shard again at its epoch, and probes each mailbox in memory by an Append that has Last and nothing else.
	History string
}

// Replacer is a store that may lose what it has answered nil for, and takes it again from its owner.
type Replacer interface {
	// Replace makes m all that the store has of the user, where last is the position that the store has as its last; what is not in
	// m goes. Where the store's last is neither last nor m.Last it is refused with a *LastError. It is answered as one element of an
	// Append is. Doing it again is fine.
	Replace(ctx context.Context, at Owner, user protocol.UserID, last protocol.Position, m Mailbox) error
}

// Backuper is a store in a folder of this machine that can be copied while it is in use.
type Backuper interface {
	// Dir is the store's folder, which nobody else writes to.
	Dir() string
	// Backup copies the store to dir, which is made, or is empty, with all that was accepted before the call.
	Backup(ctx context.Context, dir string) (Backup, error)
}

// Backup is what a backup has taken.
type Backup struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Enumerator is a store that can name its users.
type Enumerator interface {
	// Users names users of whom the store may have something, in pages of about limit: the first is that of page "", and the last has
	// an empty next. A user may be named twice, or have nothing any more; one that comes meanwhile may be left out.
	Users(ctx context.Context, page string, limit int) (users []ShardUser, next string, err error)
}

// ShardUser is a user and its shard.
type ShardUser struct {
	Shard protocol.ShardID
	User  protocol.UserID
}

// Adopter is a store that can go on for another one.
type Adopter interface {
	// Adopt gives the store the identity of another, durably, so that the cursors that the other gave stay good. It is called before
	// anything else is done with a store, and fails where a shard was ever claimed, unless id is its identity already.
	Adopt(ctx context.Context, id Identity) error
}

// Retirer is a store that another one can go on for.
type Retirer interface {
	// Retire has the store draw another generation, from when it is opened the next time at the latest: it gives positions then that the
	// one that goes on for it may have given too, and must not honour that one's cursors.
	Retire(ctx context.Context) error
}

// CacheMark says which cached mailboxes of a shard may be trusted.
type CacheMark struct {
	Generation uint64 // of what is cached; 0: nothing may be trusted
	History    string // the cache's Claimed.History when the generation began: from another one nothing may be trusted
}

// CacheMarker is a store before which there may be a cache. It keeps a mark a shard, of which the cache's owner writes one at each
// begin and end of a generation, not one a message.
type CacheMarker interface {
	// CacheMarks reads the marks of shards, in order: whatever was written before the call, by whomever.
	CacheMarks(ctx context.Context, shards []protocol.ShardID) ([]CacheMark, error)
	// SetCacheMark writes the mark of a shard, durably. A mark that an older owner writes replaces none of a newer one, and of one
	// owner an earlier one none that is later. An owner has one call a shard under way at a time.
	SetCacheMark(ctx context.Context, at Owner, m CacheMark) error
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

// Append is a step of one user's log: everything in it happens, or nothing. It may have kills alone, or only Last: then it asks
// whether that is what the store has.
type Append struct {
	Owner
	User protocol.UserID
	// Last is the mailbox's last position as the caller knows it; zero: there is none, or it does not know. A store in which a
	// write can be late, or be lost, refuses with a *LastError where another position is its last.
	Last    protocol.Position
	Entries []Entry
	Kills   []Ref // entries of this user that must not come back, those of this Append among them
}

// Mailbox is what a store has of one user.
type Mailbox struct {
	Last    protocol.Position // that Append's is compared with; zero: there is none, or the store does not compare
	Entries []Entry           // in order of position within each priority
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
	// Below is, a lane, a position below which nothing of the user is needed any more, whatever Refs has; zero: it is not known. A store
	// may leave it out of Load from then on, so that it need not read what is behind all devices; it is as lazy as Refs.
	Below protocol.Positions
}
