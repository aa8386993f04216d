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

// Expectations is what one process expects of a server, and which promises were not kept.
type Expectations struct {
	Run string // immutable: prefix of every id and user

	mu         sync.Mutex
	exceptions map[Name]Exception // guarded by mu
	violations []Violation        // guarded by mu
	counts     map[Kind]int64     // guarded by mu
	violated   int64              // guarded by mu: since the start
}

// Exception says why a message need not come, or need not come in order.
type Exception uint8

const (
	Refused Exception = iota + 1 // the server refused it: it must not come
	Unknown                      // no answer came: it may come, at any time
	Retried                      // it was published again under its id: it must come, in any order
)

// New expects nothing yet.
func New(run string) *Expectations {
	return &Expectations{Run: run, exceptions: make(map[Name]Exception), counts: make(map[Kind]int64)}
}

// Except notes an exception.
func (b *Expectations) Except(m Name, e Exception) {
	b.mu.Lock()
	b.exceptions[m] = e
	b.mu.Unlock()
}

// Excepted is the number of exceptions.
func (b *Expectations) Excepted() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.exceptions)
}

// mayMiss reports whether m need not come.
func (b *Expectations) mayMiss(m Name) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.exceptions[m]
	return e == Refused || e == Unknown
}

// mayBeLate reports whether m may come after later ones.
func (b *Expectations) mayBeLate(m Name) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.exceptions[m] != 0
}

// Violate reports a promise that was not kept.
func (b *Expectations) Violate(k Kind, user uint32, device uint8, id, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.counts[k]++
	b.violated++
	if len(b.violations) < keptViolations {
		b.violations = append(b.violations, Violation{k, UserName(b.Run, user), DeviceName(device), id, fmt.Sprintf(format, args...)})
	}
}

// Violated is the number of violations since the start.
func (b *Expectations) Violated() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.violated
}

// Take returns the violations since the last call: the first of them, and the number of each kind.
func (b *Expectations) Take() ([]Violation, map[Kind]int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list, counts := slices.Clone(b.violations), b.counts
	b.violations, b.counts = b.violations[:0], make(map[Kind]int64)
	return list, counts
}

func (b *Expectations) id(m Name) string { return string(AppendID(nil, b.Run, m)) }
