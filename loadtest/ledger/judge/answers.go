package judge

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// published is one attempt to publish an id, for the model.
type published struct {
	status Status
	inside bool // something was done to who served it: it may have been tried again inside after a lost answer
}

// ids is what a store knows of one id of one user: nothing, or that it was accepted. Every attempt takes effect at one moment between its
// sending and its answer; one without an answer at any moment from its sending on, or, which is the same, behind all others. It is SPEC 9.2:
//
//	nothing ──accepted, or no answer──▶ stored ──duplicate, no answer──▶ stored
//	   └──duplicate, where the answer of an attempt inside may have been lost: then that one has stored it──▶ stored
//
// An id is remembered for 5 minutes from its acceptance at least, and publishers of a run publish none again that is older.
var ids = porcupine.Model{
	Init: func() any { return false },
	Step: func(state, attempt, _ any) (bool, any) {
		stored, p := state.(bool), attempt.(published)
		switch p.status {
		case Accepted:
			return !stored, true
		case Duplicate:
			return stored || p.inside, true
		case Refused:
			return true, stored
		}
		return true, true
	},
}

// insideFor is how long after something was done an attempt may still be tried again inside for it.
const insideFor = 15 * time.Second

// checkIDs finds a message whose answers have no order: it was accepted twice, or a duplicate of nothing.
func (r *Report) checkIDs(ix *index, e *entry) {
	accepted, duplicate := 0, 0
	for _, a := range e.Attempts {
		switch a.Status {
		case Accepted:
			accepted++
		case Duplicate:
			duplicate++
		}
	}
	if duplicate == 0 && accepted < 2 || porcupine.CheckOperations(ids, ix.operations(e)) {
		return
	}
	kind, text := Duplicated, "it was answered duplicate, and nothing had been accepted before"
	if accepted > 1 {
		kind, text = Again, "it was accepted twice, or after a duplicate"
	} else if accepted == 1 {
		text = "it was answered duplicate before it was accepted"
	}
	if ix.isExcused(Again, e) {
		r.lost(kind)
		return
	}
	attempts := slices.SortedFunc(slices.Values(e.Attempts), func(a, b Attempt) int { return cmp.Compare(a.Sent, b.Sent) })
	for _, a := range attempts {
		text += fmt.Sprintf("; %v to %v: %v", a.Sent, a.Answered, a.Status)
	}
	r.add(Violation{Kind: kind, User: e.User, ID: e.ID, Text: text})
}

// operations are the attempts of e as the model has them. One that was refused changes nothing at any moment. Of those without an answer the
// first can do all that any could, at every moment at which it could: the others are left out, since with each the orders double.
func (ix *index) operations(e *entry) []porcupine.Operation {
	var all []porcupine.Operation
	unanswered := -1
	for i, a := range e.Attempts {
		if a.Status == Unknown && (unanswered < 0 || a.Sent < e.Attempts[unanswered].Sent) {
			unanswered = i
		}
	}
	for i, a := range e.Attempts {
		if a.Status == Refused || a.Status == Unknown && i != unanswered {
			continue
		}
		end := a.Answered
		if a.Status == Unknown || end == 0 {
			end = always
		}
		since := a.Sent - insideFor
		all = append(all, porcupine.Operation{ClientId: i, Call: int64(a.Sent), Return: int64(end), Input: published{
			status: a.Status, inside: ix.killed(since, end) || ix.during(since, end, func(Span) bool { return true }),
		}})
	}
	return all
}
