package judge

import (
	"maps"
	"slices"
	"strings"
	"time"

	"ramen/protocol"
)

// Moment is a time since the run began, by the monotonic clock. 0 is never.
type Moment = time.Duration

// Log is all that the observers of a run have seen.
type Log struct {
	Began    time.Time     // Moment 0 by the wall clock, which server and observers share
	Slack    time.Duration // how far the wall clock moved against the monotonic one during the run
	Kills    []Moment      // just before each SIGKILL, in order
	Spans    []Span        // of what else was done, in order of From
	Unaware  []Unaware
	Deadline time.Duration // by which publishes are answered; 0: not judged
	SavedIn  time.Duration // after which an ack is saved, while nothing is done to server and store; 0: not judged
	Messages []*Message
	Devices  []*Device
	Holds    bool     // streams are ended by their devices, by limits, and by what is done to their servers, and by nothing else
	Faults   []string // what the run itself found wrong: a server that ended by itself, an answer that is none
}

// Span is a time in which something was done to servers or to their store, and what that excuses.
type Span struct {
	What     string
	From, To Moment
	Owner    bool // who served may have stopped serving, with acks that it had not saved
	Lapsed   bool // who served stopped by itself for a while, with acks that it had not saved: no more is excused than these
	Silent   bool // publishes may have had no answer in time: who had to give it did not run
	Loses    bool // the store, as it is configured, may have lost what it had answered for
	// Serves: service goes on: while nothing else was done, no publish was unavailable.
	Serves bool
	// Refuses: nothing that was sent and answered within it can be as durable as the store is configured to have it.
	Refuses bool
	Ends    []string // servers whose streams it may end, as Stream.Server
}

// Unaware is a server that does not know yet that another has taken over from it: until its lease is over it may push what it has, without
// what the other accepts, replaces or recalls. Only where the store fences appends does the other not wait for that.
type Unaware struct {
	Server   string // as Stream.Server
	From, To Moment
}

// Target is which of a user's devices a message is for.
type Target struct {
	Device string            // empty: all
	Where  map[string]string // only those whose context has these values
}

// key is t as a string that no other target has.
func (t Target) key() string {
	var b strings.Builder
	add := func(s string) { b.WriteString(terminated(s)) }
	add(t.Device)
	for _, k := range slices.Sorted(maps.Keys(t.Where)) {
		add(k)
		add(t.Where[k])
	}
	return b.String()
}

// Status is what an attempt to publish came to.
type Status uint8

// The statuses. Unknown is no answer, or unavailable: the message may be stored. SPEC 9.1.3.
const (
	Unknown Status = iota
	Accepted
	Duplicate
	Refused // rejected, and so not stored
)

var statusNames = [...]string{"unknown", "accepted", "duplicate", "refused"}

func (s Status) String() string { return statusNames[s] }

// Attempt is one sending of a message.
type Attempt struct {
	Sent     Moment // before its first byte
	Answered Moment // 0: there was no answer
	Ended    Moment // it was given up, or answered
	Status   Status
	Over     string // http, grpc, stream
}

// Recall is one attempt to recall a message.
type Recall struct {
	Sent, Answered Moment
	Confirmed      bool // 204, or recalled
	Denied         bool // 404, or not recalled; neither: unknown
}

// Message is a message as its publisher knows it. User and ID together are its name.
type Message struct {
	User, ID string
	Target   Target
	Key      string // collapse key
	Priority protocol.Priority
	TTL      time.Duration // 0: the server's default, which no run outlasts
	Attempts []Attempt
	Recalls  []Recall
	// Chain is a sequence of publishes whose order is their order of acceptance where each was accepted at its first attempt: one
	// publisher's calls one after another, the messages of a batch, the requests of a PublishStream. Nth counts within it.
	Chain, Nth int
}

// Place is where a device stands: it has processed the first Pushes pushes of its stream with the index Stream.
type Place struct{ Stream, Pushes int }

// Nowhere is the place of a device without a cursor.
var Nowhere = Place{Stream: -1}

// Device is a device as it knows itself.
type Device struct {
	User, Name string
	Context    *protocol.DeviceContext
	Streams    []*Stream // in the order of their opening; a poll is a stream
}

// Stream is one stream as its device has seen it.
type Stream struct {
	Transport string
	Server    string // where it was opened
	Opened    Moment // before its first byte was sent
	From      Place  // what its cursor stands for
	Greeted   Moment // hello was received; 0: it was not
	Resumed   bool
	Seq       uint64 // hello's
	HasSeq    bool   // a poll's answer has no hello: its first push may have any number
	ServerMS  int64  // hello's time_ms; 0: not told
	Expired   uint32 // hello's
	Pushes    []Push
	Acks      []Ack
	Ended     Moment // the device read no longer
	End       string // why
	Cut       bool   // the server's side ended it, though the device did nothing wrong
}

// Push is one push as it was received.
type Push struct {
	At        Moment
	ID        string
	Seq       uint64
	ExpiresMS int64
	Priority  protocol.Priority
	Wrong     string // what is wrong with its content; empty: nothing
}

// Ack is one ack of a stream's first Pushes pushes.
type Ack struct {
	Sent, Confirmed Moment // Confirmed is 0 where the transport has no answer, or none came
	Pushes          int
}

// terminated is s so that two of them, one behind the other, can be read in one way only.
func terminated(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, `\`, `\\`), `|`, `\p`) + "|"
}
