package mailboxtest

import (
	"maps"
	"time"

	"ramen/protocol"
)

// Message is a message as the model has it. A Source fills in what comes before order.
type Message struct {
	ID     string
	Lane   int
	Device string            // empty: all
	Where  map[string]string // as a publish has it; devices have an OS and nothing else
	Key    string
	TTL    time.Duration

	Order     int   // from 1 on; 0: not inserted
	CreatedMS int64 // from here on set by Model.Publish
	ExpiresMS int64
	Dead      bool

	acceptedMS int64 // from when on its id is remembered

	recalled  bool            // which is why it is dead
	killed    bool            // replaced or recalled: dead whatever comes
	forgotten bool            // by the store: dead after a crash too
	acked     bool            // by a device that wanted it
	matches   map[string]bool // what where said of a device
}

// Op is a publish or a recall of a message that is to be written.
type Op struct {
	Message *Message
	Recall  bool
	Stored  bool // the store has it, whatever it answered
	Step    int  // for the driver: which step of its mailbox it was made in
	At      protocol.Position

	Devices int  // what the answer to a publish tells
	Found   bool // what the answer to a recall tells
}

// Device is a known device.
type Device struct {
	ID     string
	Online bool // it has a stream
	Socket bool // it has a connection that has not ended, whether or not there is a stream for it
	Window int  // pushes
	Read   [protocol.Lanes]int
	Seq    protocol.Seq
	Sent   []Push // not acked
	Stream []Push // all of the latest connection
	top    protocol.Seq
	loose  bool // it was known when the process died: its seqs may begin anew

	// Doubtful: it was known when its mailbox left memory, or may have had: it may be told of fewer losses than it has had.
	Doubtful bool
	Unknown  bool         // nobody knows the name of its latest stream any more
	Name     string       // of its latest stream; set by the driver
	Begin    protocol.Seq // of its latest hello
	Hello    Push         // what the cursor of that acks
	saved    record
	record
}

// record is what is saved of a device.
type record struct {
	OS       string
	Acked    [protocol.Lanes]int
	AckedSeq protocol.Seq
	Expired  uint32
}

// Push is a push of a message to a device.
type Push struct {
	ID     string
	Seq    protocol.Seq
	Lane   int
	Order  int
	Cover  [protocol.Lanes]int // what its cursor acks
	Cursor string              // empty: not seen by the driver yet
}

func (m *Message) targets(d *Device) bool { return m.Device == "" || m.Device == d.ID }

// isFor reports whether m is for d as far as is known.
func (m *Message) isFor(d *Device) bool {
	if matched, evaluated := m.matches[d.ID]; evaluated {
		return matched
	}
	if !m.targets(d) {
		return false
	}
	for k, v := range m.Where {
		if k == "os" && v != d.OS || k != "os" && v != "" {
			return false
		}
	}
	return true
}

// WaitsFor reports whether m is to be acked by d.
func (m *Message) WaitsFor(d *Device) bool {
	return !m.Dead && m.isFor(d) && d.Acked[m.Lane] < m.Order
}

// replaces reports whether m takes the place of o, wherever o is now.
func (m *Message) replaces(o *Message) bool {
	return m.Key != "" && m.Key == o.Key && m.Device == o.Device && maps.Equal(m.Where, o.Where)
}
