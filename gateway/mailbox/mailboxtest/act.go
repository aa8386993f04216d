package mailboxtest

import "time"

// Act is one thing that is done to a mailbox: one of the types of this file. Its devices, pushes and ids are those of the model at the
// time of Source.Next.
type Act any

// Write publishes and recalls, all in one step where the level has steps.
type Write struct {
	Requests []Request
	Answer   Answer
	Late     bool // other acts may come before the answer
}

// Request is a publish of Message, or a recall.
type Request struct {
	Message *Message
	Recall  string // an id
}

// Answer is how the store answers a write.
type Answer int

// The answers.
const (
	Done        Answer = iota
	DoneTwice          // written again behind an answer that was lost
	UnknownDone        // its outcome is unknown to the caller
	UnknownLost        // as UnknownDone, and nothing was stored
	Failed             // nothing was stored
)

// Ack acks the first Pushes of a device's stream on it, by seq or by the cursor of the last of them.
type Ack struct {
	Device   string
	Pushes   int
	ByCursor bool
}

// AckBeside acks not on the stream: by the cursor of Push, which the device once had, or, where that is nil, the first Pushes of the
// device's latest stream by its name.
type AckBeside struct {
	Device string
	Push   *Push
	Pushes int
}

// Open opens a stream.
type Open struct {
	Device string
	OS     string
	Window int
	From   From
	Push   *Push // FromCursor: of which
	Pushes int   // FromSeq: how many of its latest stream the device has processed
}

// From is where a stream resumes.
type From int

// The ways to resume.
const (
	FromSaved From = iota // the device gives no cursor
	FromCursor
	FromSeq
	FromForged // a cursor that nobody gave out
)

// Close ends a device's stream from its side.
type Close struct{ Device string }

// Reopen continues a device's socket with a new stream: the device has got the first Kept pushes of the socket, and acked the first
// Acked of them.
type Reopen struct {
	Device      string
	Kept, Acked int
}

// Refresh changes the context of a device on its stream.
type Refresh struct{ Device, OS string }

// Advance lets time pass.
type Advance struct{ By time.Duration }

// Save writes to the store what is written lazily.
type Save struct{ Fails bool }

// ForgetUnseen forgets devices that were last seen before Ago.
type ForgetUnseen struct{ Ago time.Duration }

// Restart has the mailbox loaded again.
type Restart struct {
	How Cause
	// Stored: a write that was not answered yet is in the store.
	Stored bool
}

// Cause is why a mailbox is loaded again.
type Cause int

// The causes.
const (
	Stop  Cause = iota // the process ends in order
	Crash              // what was not written is lost
	Move               // to another owner
	Idle               // nobody used it for long
)

// Copy has a replica receive all that the store has.
type Copy struct{}

// Lose sets the store back to the latest Copy, while its owner lives on.
type Lose struct{}
