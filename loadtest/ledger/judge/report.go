package judge

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
)

// Kind is which promise was broken.
type Kind string

// The kinds.
const (
	Missing     Kind = "missing"     // accepted, due, and never came
	Skipped     Kind = "skipped"     // passed over by what it goes before
	Replaced    Kind = "replaced"    // came back after it had been replaced
	Recalled    Kind = "recalled"    // came back after it had been recalled
	Expired     Kind = "expired"     // pushed after its end
	Acked       Kind = "acked"       // came back though acked
	Twice       Kind = "twice"       // came twice on one stream
	Order       Kind = "order"       // behind a later one of its priority
	Priority    Kind = "priority"    // behind one of lower priority
	Stranger    Kind = "stranger"    // nobody published it
	Foreign     Kind = "foreign"     // for somebody else
	Content     Kind = "content"     // another payload or priority
	Seq         Kind = "seq"         // a gap in a stream's numbers
	Resume      Kind = "resume"      // a cursor was not honoured, or none was
	Again       Kind = "again"       // accepted a second time
	Duplicated  Kind = "duplicate"   // answered so, though nothing can have been accepted before
	Late        Kind = "late"        // a publish without an answer in time
	Unavailable Kind = "unavailable" // a publish, while service was to go on
	Uncovered   Kind = "uncovered"   // accepted while the store could not keep it
	Life        Kind = "life"        // expires_ms is not what was asked for
	Ended       Kind = "ended"       // a stream, although nothing was done to its server
	Told        Kind = "told"        // hello told of more expired messages than there were
	Fault       Kind = "fault"       // found by the run itself
)

// Violation is one promise that was not kept.
type Violation struct {
	Kind             Kind
	User, Device, ID string
	Text             string
}

// Report is what the judge found. Pairs are of a message and a device.
type Report struct {
	Messages, Accepted, Refused, Unknown int // messages by what their publisher knows
	Kills, Devices, Streams              int
	Pushes, Redelivered                  int
	Due, Delivered                       int // pairs, of accepted messages
	ExcusedExpired, ExcusedReplaced      int // pairs that were not delivered, by what excuses it
	ExcusedRecalled, ExcusedEither       int
	UnknownDue                           int // pairs of messages of which nobody knows whether they were stored
	Missing                              int
	SlowestAnswer                        Moment       // to a publish, of those who could answer
	Lost                                 map[Kind]int // violations that are what the store may lose, as it is configured
	LostMissing                          []Violation  // of these, the pairs of which nothing came
	Violations                           []Violation

	byKind map[Kind]int
}

// Judge finds every promise that l shows to be broken.
func Judge(l *Log) *Report {
	r := &Report{Messages: len(l.Messages), Kills: len(l.Kills), Devices: len(l.Devices), byKind: make(map[Kind]int)}
	ix := newIndex(l)
	for _, m := range l.Messages {
		e := ix.entries[name{m.User, m.ID}]
		r.count(e)
		r.checkIDs(ix, e)
		r.checkAnswers(ix, e)
	}
	for _, d := range l.Devices {
		j := &device{index: ix, Device: d, report: r, pushed: make(map[*entry][]ref)}
		for i, s := range d.Streams {
			j.stream(i, s)
		}
		j.due()
	}
	for _, f := range l.Faults {
		r.add(Violation{Kind: Fault, Text: f})
	}
	slices.SortStableFunc(r.Violations, func(a, b Violation) int { return cmp.Compare(a.Kind, b.Kind) })
	return r
}

// count counts a message.
func (r *Report) count(e *entry) {
	switch {
	case e.accepted != 0:
		r.Accepted++
	case e.stored:
		r.Unknown++
	default:
		r.Refused++
	}
}

func (r *Report) add(v Violation) {
	r.Violations = append(r.Violations, v)
	r.byKind[v.Kind]++
}

func (r *Report) lost(k Kind) {
	if r.Lost == nil {
		r.Lost = make(map[Kind]int)
	}
	r.Lost[k]++
}

// lose counts what would be a violation if the store did not lose messages, as it is configured.
func (r *Report) lose(v Violation) {
	r.lost(v.Kind)
	if v.Kind == Missing {
		r.LostMissing = append(r.LostMissing, v)
	}
}

// Of is how many violations of a kind there are.
func (r *Report) Of(k Kind) int { return r.byKind[k] }

// Returned is how many pushes there were of what should not have come back.
func (r *Report) Returned() int { return r.Of(Replaced) + r.Of(Recalled) + r.Of(Expired) + r.Of(Acked) }

// OK reports whether every promise was kept.
func (r *Report) OK() bool { return len(r.Violations) == 0 }

// Write prints the table.
func (r *Report) Write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, n int, more string) { fmt.Fprintf(t, "%s\t%d\t %s\n", what, n, more) }
	row("kills", r.Kills, "SIGKILL")
	row("accepted", r.Accepted, fmt.Sprintf("messages; %d refused, %d unknown", r.Refused, r.Unknown))
	row("due", r.Due, fmt.Sprintf("pairs of an accepted message and one of %d devices", r.Devices))
	row("delivered", r.Delivered, fmt.Sprintf("in %d pushes, %d of them again, on %d streams", r.Pushes, r.Redelivered, r.Streams))
	row("excused", r.ExcusedExpired, "not delivered: expired")
	row("", r.ExcusedReplaced, "replaced")
	row("", r.ExcusedRecalled, "recalled")
	row("", r.ExcusedEither, "by one of several of these")
	row("unknown", r.UnknownDue, "pairs of messages that were never answered")
	row("missing", r.Missing, "")
	row("returned", r.Returned(), fmt.Sprintf("replaced %d, recalled %d, expired %d, acked %d", r.Of(Replaced), r.Of(Recalled), r.Of(Expired), r.Of(Acked)))
	for _, k := range []Kind{Skipped, Twice, Order, Priority, Stranger, Foreign, Content, Seq, Resume, Again, Duplicated, Late, Unavailable, Uncovered, Life, Ended, Told, Fault} {
		if n := r.Of(k); n > 0 {
			row(string(k), n, "")
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.Lost)) {
		row("lost", r.Lost[k], fmt.Sprintf("%s: what the store may lose as it is configured", k))
	}
	_ = t.Flush()
}
