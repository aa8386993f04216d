package judge

import (
	"fmt"
	"slices"
)

// during reports whether a span that is wanted has a moment from one to another.
func (ix *index) during(from, to Moment, wanted func(Span) bool) bool {
	return slices.ContainsFunc(ix.log.Spans, func(s Span) bool { return s.From <= to && s.To >= from && wanted(s) })
}

// mayForgetAck reports whether an ack, sent and confirmed by those moments, may be unknown at a later one: whoever had taken it was gone
// before it had saved it.
func (ix *index) mayForgetAck(sent, confirmed, later Moment) bool {
	if ix.log.SavedIn > 0 {
		later = min(later, ix.savedBy(confirmed))
	}
	return ix.killed(sent, later) || ix.during(sent, later, func(s Span) bool { return s.Owner || s.Lapsed }) || ix.mayBeLost(sent, later)
}

// unaware reports whether what server pushes at a moment may be chosen without what another one has accepted, or recalled.
func (ix *index) unaware(server string, at Moment) bool {
	return slices.ContainsFunc(ix.log.Unaware, func(u Unaware) bool { return u.Server == server && u.From <= at && at <= u.To })
}

// savedBy is when an ack is saved that was confirmed at a moment: a store that something is done to may take no save.
func (ix *index) savedBy(confirmed Moment) Moment {
	saved := confirmed + ix.log.SavedIn
	for _, s := range ix.log.Spans {
		if s.From <= saved && s.To >= confirmed {
			saved = max(saved, s.To+ix.log.SavedIn)
		}
	}
	return saved
}

// mayBeLost reports whether the store may have lost, by a later moment, what it was told at one.
func (ix *index) mayBeLost(told, later Moment) bool {
	return slices.ContainsFunc(ix.log.Spans, func(s Span) bool { return s.Loses && s.To >= told && s.From <= later })
}

// mayBeForgotten reports whether the store may have lost, before e was accepted, that there is the device, which has not come again
// between: then e need not have waited for it, unless it is its user's only one.
func (d *device) mayBeForgotten(e *entry) bool {
	return d.devices[d.User] > 1 && slices.ContainsFunc(d.log.Spans, func(s Span) bool {
		return s.Loses && s.From <= e.accepted && !slices.ContainsFunc(d.Streams, func(x *Stream) bool { return x.Opened > s.To && x.Greeted > 0 && x.Greeted < e.first })
	})
}

// again reports whether e was accepted more than once.
func (e *entry) again() bool {
	first := true
	for _, a := range e.Attempts {
		if a.Status == Accepted && !first {
			return true
		}
		first = first && a.Status != Accepted
	}
	return false
}

// isExcused reports whether a violation is no more than the loss that the configuration of the store allows.
func (ix *index) isExcused(k Kind, e *entry) bool {
	switch k {
	case Twice: // an id that was lost is another message when it is published again
		if e == nil || !e.again() {
			return false
		}
	case Stranger, Foreign, Content, Expired:
		return false
	}
	return e != nil && ix.mayBeLost(e.first, always)
}

// checkAnswers finds publishes that had no answer in time, or one that nothing covered.
func (r *Report) checkAnswers(ix *index, e *entry) {
	for _, a := range e.Attempts {
		took := a.Ended - a.Sent
		if a.Status == Accepted && slices.ContainsFunc(ix.log.Spans, func(s Span) bool { return s.Refuses && s.From < a.Sent && a.Answered < s.To }) {
			r.add(Violation{Kind: Uncovered, User: e.User, ID: e.ID, Text: fmt.Sprintf("it was sent over %s at %v and accepted at %v, while the store could not keep it", a.Over, a.Sent, a.Answered)})
		}
		if a.Status == Unknown && !ix.killed(a.Sent, a.Ended) && ix.during(a.Sent, a.Ended, func(s Span) bool { return s.Serves }) &&
			!ix.during(a.Sent, a.Ended, func(s Span) bool { return !s.Serves && !s.Lapsed }) {
			r.add(Violation{Kind: Unavailable, User: e.User, ID: e.ID, Text: "a publish over " + a.Over + " was unavailable, or not answered, although service was to go on"})
		}
		if ix.killed(a.Sent, a.Ended) || ix.during(a.Sent, a.Ended, func(s Span) bool { return s.Silent }) {
			continue
		}
		r.SlowestAnswer = max(r.SlowestAnswer, took)
		if ix.log.Deadline > 0 && took > ix.log.Deadline {
			r.add(Violation{Kind: Late, User: e.User, ID: e.ID, Text: "a publish over " + a.Over + " took " + took.String() + ", and was then " + a.Status.String()})
		}
	}
}
