package expect

import (
	"fmt"
	"slices"
	"sync"
)

// Kind is a promise that was not kept.
type Kind string

// The kinds of violations.
const (
	Lost      Kind = "lost"      // accepted, and never came
	Order     Kind = "order"     // came behind a later one of its lane, on one stream
	Duplicate Kind = "duplicate" // came twice on one stream, or though the cursor covered it
	Seq       Kind = "seq"       // the numbers of a stream's pushes have a gap
	Heartbeat Kind = "heartbeat" // a stream was silent for longer than 1.25 intervals
	Resume    Kind = "resume"    // a good cursor was not honoured
	Content   Kind = "content"   // the payload is not what was published
)

// Violation is one promise that was not kept, to one device.
type Violation struct {
	Kind   Kind   `json:"kind"`
	User   string `json:"user"`
	Device string `json:"device"`
	ID     string `json:"id,omitempty"` // of the message, where it is about one
	Detail string `json:"detail"`
}

// String is the violation in one line.
func (v Violation) String() string {
	s := fmt.Sprintf("%s: user %s device %s", v.Kind, v.User, v.Device)
	if v.ID != "" {
		s += " id " + v.ID
	}
	return s + ": " + v.Detail
}

// keptViolations bounds the list; more are counted.
const keptViolations = 200

// Book is what one process expects of a server.
type Book struct {
	Run string // immutable: the begin of every id and user

	mu         sync.Mutex
	exceptions map[Name]Exception // guarded by mu
	violations []Violation        // guarded by mu
	counts     map[Kind]int64     // guarded by mu
	violated   int64              // guarded by mu: all of them, taken or not
}

// Exception is what keeps a message from being demanded like any other.
type Exception uint8

// A refused message must not come; an unknown one may, whenever; one that was tried again must, but nobody knows with which
// of its publishes, and so not in which order.
const (
	Refused Exception = iota + 1
	Unknown
	Retried
)

// NewBook makes an empty book.
func NewBook(run string) *Book {
	return &Book{Run: run, exceptions: make(map[Name]Exception), counts: make(map[Kind]int64)}
}

// Except notes a message that was not plainly accepted.
func (b *Book) Except(m Name, e Exception) {
	b.mu.Lock()
	b.exceptions[m] = e
	b.mu.Unlock()
}

// Excepted is how many messages were not plainly accepted.
func (b *Book) Excepted() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.exceptions)
}

// mayMiss reports whether nobody may demand m.
func (b *Book) mayMiss(m Name) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.exceptions[m]
	return e == Refused || e == Unknown
}

// mayBeLate reports whether m may come behind later ones.
func (b *Book) mayBeLate(m Name) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.exceptions[m] != 0
}

// Violate notes a promise that was not kept.
func (b *Book) Violate(k Kind, user uint32, device uint8, id, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[k]++
	b.violated++
	if len(b.violations) < keptViolations {
		b.violations = append(b.violations, Violation{k, UserName(b.Run, user), DeviceName(device), id, fmt.Sprintf(format, args...)})
	}
}

// Violated is how many promises were not kept since the start.
func (b *Book) Violated() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.violated
}

// Take answers the violations since the last call: the first ones, and how many of each kind there were.
func (b *Book) Take() ([]Violation, map[Kind]int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, counts := slices.Clone(b.violations), b.counts
	b.violations, b.counts = b.violations[:0], make(map[Kind]int64)
	return list, counts
}

func (b *Book) id(m Name) string { return string(AppendID(nil, b.Run, m)) }
