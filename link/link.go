// Package link is the contract between a frontend and the gateway that owns a user.
//
// A frontend asks a Gateway, in process or over the network, by the same calls. What every implementation guarantees:
//
//  1. A stream's pushes arrive in the order in which the gateway chose them, each once, and none before Credit was given.
//  2. No call of a Receiver is made while a lock of the gateway is held, and one stream's Receiver is called by one
//     goroutine at a time. A Receiver never blocks on its device, and may call its Stream from within a call.
//  3. After Closed or Lost a stream's Receiver is not called again. After Stream.Close it is not called again once the call
//     that may be under way has returned; but for Closed, where Close said ReasonNone and the gateway had ended the stream before.
//  4. Calls that return an error have changed nothing, except where it is ErrLost or a context's: then the outcome is unknown, but for
//     ErrNotSent.
//     The Receiver of an Open that returned one is not called any more.
//  5. Values handed over are not changed afterwards by either side. The slice of a Push call is the gateway's again once
//     the call has returned; what its elements point to stays.
//  6. Each call of a Receiver carries the Generation of the Open that the stream came from. A frontend that hands the same
//     Receiver to another Open gives that another generation, and drops every call of an earlier one but a Closed whose
//     reason is final: such a call may still be under way when the later Open returns.
//  7. No Below excludes an owner that serves: it is at most the epoch of the shard's owner.
package link

import (
	"context"
	"errors"
	"strconv"

	"ramen/protocol"
)

// ErrNotOwner is the answer of a gateway that does not own the shard at that epoch: wait for a newer view and try again.
// It comes as a *NotOwnerError where the gateway knows more.
var ErrNotOwner = errors.New("link: gateway does not own the shard at that epoch")

// NotOwnerError is ErrNotOwner with what the gateway knows of the shard.
type NotOwnerError Loss

// Error names the reason and the epoch, where they are known.
func (e *NotOwnerError) Error() string {
	text := ErrNotOwner.Error()
	if e.Reason != protocol.ReasonNone {
		text += " (" + e.Reason.String() + ")"
	}
	if e.Below != 0 {
		text += ": it is served at epoch " + strconv.FormatUint(uint64(e.Below), 10) + " or later"
	}
	return text
}

// Unwrap makes every NotOwnerError an ErrNotOwner.
func (e *NotOwnerError) Unwrap() error { return ErrNotOwner }

// Loss is what a gateway says of a shard that it does not serve, or does not serve any more.
type Loss struct {
	// Reason: rebalance, where the shard moves or has moved; drain, where the gateway ends; unavailable, where the link broke
	// or the gateway's lease ended. ReasonNone: not known.
	Reason protocol.Reason
	// Below is the epoch below which nobody serves the shard any more: ask no owner of an earlier one. 0: none is known.
	Below protocol.Epoch
}

// ErrSuperseded is the answer to the open of a stream that a newer one of its device has replaced.
var ErrSuperseded = errors.New("link: a newer stream of the device is open")

// ErrLost is the answer where the link broke: the outcome is unknown.
var ErrLost = errors.New("link: connection to the gateway was lost")

// ErrNotSent is the ErrLost of a call that has certainly not reached the gateway, and has changed nothing: there is no connection, or it
// broke before the call went out.
var ErrNotSent error = notSent{}

type notSent struct{}

func (notSent) Error() string { return "link: there is no connection to the gateway: nothing was sent" }
func (notSent) Unwrap() error { return ErrLost }

// Route says who the caller believes owns the user: the shard, at the epoch of the caller's view.
type Route struct {
	Shard protocol.ShardID
	Epoch protocol.Epoch
}

// Gateway is the owner of shards of users, as a frontend sees it. Errors are *protocol.Error for what the device or the
// backend did wrong or cannot have now, ErrNotOwner and ErrLost for what the frontend must mend itself.
type Gateway interface {
	// Publish accepts messages: a result each, in order. It returns once every accepted one is durable.
	Publish(ctx context.Context, batch []Publish) []Result
	// Open opens a stream, evicting the device's older one. Pushes go to r from the first Stream.Credit on.
	Open(ctx context.Context, o Open, r Receiver) (Stream, Opened, error)
	// Ack takes an ack that did not come on the stream: SPEC 5.5's POST /ramen/ack.
	Ack(ctx context.Context, a Ack) error
	// Devices lists the user's known devices. There are few enough for one answer: SPEC 1.2.3.
	Devices(ctx context.Context, at Route, user protocol.UserID) ([]Device, error)
	// Messages lists what waits in the user's mailbox, in the order in which it would be pushed: one page of it.
	Messages(ctx context.Context, at Route, user protocol.UserID, p Page) (MessagePage, error)
	// Recall takes a waiting message back; false where there is none of that id. It is durable when it returns.
	Recall(ctx context.Context, at Route, user protocol.UserID, id protocol.MessageID) (bool, error)
	// Disconnect ends the streams of one device, or of all where device is empty, and answers how many there were.
	Disconnect(ctx context.Context, at Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error)
}

// Publish is one message for one user, checked and completed by the frontend: it has an id, a priority, a content type, a compact payload.
type Publish struct {
	Route
	User    protocol.UserID
	Device  protocol.DeviceID // empty: every device of the user
	Where   map[string]string // only devices whose context has these values
	Message *protocol.Message // CreatedMS and ExpiresMS are the gateway's to set, on a copy
	TTLMS   int64             // > 0
}

// Status is what became of one publish.
type Status uint8

// The statuses, numbered as on the wire. SPEC 7.1.
const (
	StatusUnspecified Status = iota
	StatusAccepted
	StatusDuplicate
	StatusRejected
)

// Result is the answer to one Publish.
type Result struct {
	Status  Status
	Err     error // where rejected: *protocol.Error, ErrNotOwner or ErrLost
	Devices int   // the known devices that it is for
}

// Generation tells the Opens of one Receiver apart.
type Generation uint32

// Open asks for a stream.
type Open struct {
	Route
	Generation Generation // each call of the Receiver carries it
	User       protocol.UserID
	Device     protocol.DeviceID
	Transport  protocol.Transport
	Context    *protocol.DeviceContext
	Cursor     string // where the device stands; empty: no cursor. It has the shape of one
	// The first form, where Cursor is empty: Seq counted from the stream named Name. A bare seq has no Name.
	HasSeq bool
	Seq    protocol.Seq
	Name   string
	Window int // pushes; 0: the transport's most

	// For the re-open of a live socket at a new owner; zero for a first open. Seq is then that of the last push on the
	// socket, or of its hello where there was none.
	Number protocol.StreamNumber
	Acked  string // the cursor that the device has acked or come with; it alone moves the saved cursor
	Sent   []Sent // what went out on this socket after Acked, in order: not acked
}

// Sent is one push that went out on a socket.
type Sent struct {
	Seq      protocol.Seq
	Cursor   string
	Priority protocol.Priority
	Bytes    int // of payload: what it takes of the window
}

// Opened says where the stream begins.
type Opened struct {
	Number  protocol.StreamNumber
	Name    string         // of the stream, for hello
	Epoch   protocol.Epoch // at which the shard is served: that of Open's Route
	Resumed bool
	Seq     protocol.Seq // the first push is Seq + 1
	Expired uint32       // messages for this device that expired unacked since its last hello
	Cursor  string       // resumes at exactly this place
	Pending bool         // something is to be pushed: the first Credit brings it, unless it ends before
}

// Receiver is the frontend's end of a stream. g is the generation of the Open that the stream came from.
type Receiver interface {
	// Push delivers pushes, in order. more says that further ones follow at once.
	Push(g Generation, batch []protocol.Push, more bool)
	// Acked says that the device acked up to seq by another way than the stream.
	Acked(g Generation, seq protocol.Seq)
	// Closed says that the gateway has ended the stream; it is the last call.
	Closed(g Generation, reason protocol.Reason, detail string)
	// Lost says that the gateway is gone or gave up the shard: open the stream again at an owner of l.Below or later. It is
	// the last call.
	Lost(g Generation, l Loss)
}

// Stream is the gateway's end of a stream. No call blocks.
type Stream interface {
	// Credit allows that many more bytes of pushes, counted by protocol.Push.Cost. While any is left, one more push
	// is sent, however large.
	Credit(bytes int)
	// Ack moves the device's cursor. seq is 0 where the frontend does not know the cursor, or the cursor is empty where
	// it does not know the text. What cannot be honoured is answered by Closed(ReasonInvalidArgument).
	Ack(seq protocol.Seq, cursor string)
	// Refresh replaces the context of the device.
	Refresh(c *protocol.DeviceContext)
	// Measured reports the round trip of the last heartbeat, in ms.
	Measured(rttMS uint32)
	// Close says that the frontend has ended the stream: its socket has ended for reason, or, with ReasonNone, goes on at
	// another owner, and an end that was decided here before is still told. The device's place stays.
	Close(reason protocol.Reason)
}

// Page asks for a part of a list of messages.
type Page struct {
	After Ref // the Next of the page before; zero: from the beginning
	Limit int // the most messages, > 0
}

// Ref is where a message stands in its mailbox, whichever gateway owns the user.
type Ref struct {
	Priority protocol.Priority
	Position protocol.Position
}

// PageBytes is where a page ends: it takes no message more once its payloads are that many bytes.
const PageBytes = 1 << 20

// MessagePage is one page. What is published or leaves between two pages may or may not be in the list; all else is in it once.
type MessagePage struct {
	Messages []*protocol.Message
	Next     Ref // zero: nothing follows
}

// Ack is an ack beside the stream. Exactly one of Cursor and Name is set.
type Ack struct {
	Route
	User   protocol.UserID
	Device protocol.DeviceID
	Cursor string
	Seq    protocol.Seq
	Name   string
}

// Device is one device of a user as the owner sees it. SPEC 7.1.
type Device struct {
	ID          protocol.DeviceID
	Online      bool
	Transport   protocol.Transport // of the last stream
	Context     *protocol.DeviceContext
	ConnectedMS int64 // Unix ms; 0 while offline
	LastSeenMS  int64 // Unix ms
	Pending     int
	Unacked     int
	RTTMS       uint32
}
