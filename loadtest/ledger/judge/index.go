package judge

import (
	"math"
	"slices"
	"time"
)

const always = Moment(math.MaxInt64) // beyond every moment of a run

// entry is a message and what follows from the log about when it was stored and when it may have gone.
type entry struct {
	*Message
	first    Moment // it was not stored before
	accepted Moment // it was stored before; 0: nobody knows whether it was
	stored   bool   // it may have been: not all its attempts were refused

	// Of a message with a collapse key.
	mayBeReplaced Moment // the earliest at which another can have replaced it
	replaced      Moment // by then one accepted after it had surely replaced it
	replacedBy    *entry

	mayBeRecalled Moment
	recalled      Moment // it surely was
}

// latest is by when it was stored, if ever.
func (e *entry) latest() Moment {
	if e.accepted == 0 {
		return always
	}
	return e.accepted
}

// clean reports whether its place in its chain is its place in the order of acceptance.
func (e *entry) clean() bool { return e.Attempts[0].Status == Accepted }

// isFor reports whether d is one of its target.
func (e *entry) isFor(d *Device) bool {
	return e.User == d.User && (e.Target.Device == "" || e.Target.Device == d.Name) && d.Context.Matches(e.Target.Where)
}

// name is what a message is known by.
type name struct{ user, id string }

// index finds the messages of a log by id and by user.
type index struct {
	log     *Log
	entries map[name]*entry
	users   map[string][]*entry
	devices map[string]int // of each user
}

func newIndex(l *Log) *index {
	ix := &index{log: l, entries: make(map[name]*entry, len(l.Messages)), users: make(map[string][]*entry), devices: make(map[string]int)}
	type group struct{ user, key, target string }
	groups := make(map[group][]*entry)
	for _, m := range l.Messages {
		e := ix.newEntry(m)
		ix.entries[name{m.User, m.ID}] = e
		ix.users[m.User] = append(ix.users[m.User], e)
		if m.Key != "" && e.stored {
			g := group{m.User, m.Key, m.Target.key()}
			groups[g] = append(groups[g], e)
		}
	}
	for _, g := range groups {
		findReplacements(g)
	}
	for _, d := range l.Devices {
		ix.devices[d.User]++
	}
	return ix
}

func (ix *index) newEntry(m *Message) *entry {
	e := &entry{Message: m, first: m.Attempts[0].Sent, mayBeReplaced: always, mayBeRecalled: always}
	for _, a := range m.Attempts {
		e.stored = e.stored || a.Status != Refused
		if (a.Status == Accepted || a.Status == Duplicate) && (e.accepted == 0 || a.Answered < e.accepted) {
			e.accepted = a.Answered
		}
	}
	for _, r := range m.Recalls {
		if !r.Denied || ix.mayHaveRecalled(r) {
			e.mayBeRecalled = min(e.mayBeRecalled, r.Sent)
		}
		if r.Confirmed && (e.recalled == 0 || r.Answered < e.recalled) {
			e.recalled = r.Answered
		}
	}
	return e
}

// mayHaveRecalled reports whether a recall that answered that there is no such message may have found it all the same: it was tried again
// after a lost answer. SPEC 9.3.5.
func (ix *index) mayHaveRecalled(r Recall) bool {
	return ix.killed(r.Sent, r.Answered) || ix.during(r.Sent, r.Answered, func(Span) bool { return true })
}

// findReplacements says of the messages of one key and target when each may have been replaced, and when it surely was.
func findReplacements(g []*entry) {
	slices.SortFunc(g, func(a, b *entry) int { return int(a.first - b.first) })
	last := Moment(0) // the latest time at which one before may have been stored
	for i, e := range g {
		switch {
		case last > e.first: // it may have been stored before one that was sent before it
			e.mayBeReplaced = e.first
		case i+1 < len(g):
			e.mayBeReplaced = g[i+1].first
		}
		last = max(last, e.latest())
	}
	soonest := make([]*entry, len(g)+1) // of those from i on, the one accepted first
	for i := len(g) - 1; i >= 0; i-- {
		soonest[i] = soonest[i+1]
		if g[i].accepted != 0 && (soonest[i] == nil || g[i].accepted < soonest[i].accepted) {
			soonest[i] = g[i]
		}
	}
	for _, e := range g {
		after, _ := slices.BinarySearchFunc(g, e.latest(), func(x *entry, t Moment) int {
			if x.first <= t {
				return -1
			}
			return 1
		})
		if r := soonest[after]; r != nil {
			e.replaced, e.replacedBy = r.accepted, r
		}
	}
}

// wallMS is m by the server's clock.
func (ix *index) wallMS(m Moment) int64 { return ix.log.Began.Add(m).UnixMilli() }

// slackMS is what a comparison of wallMS with a time of the server is to allow for: the clock's moves, and rounding.
func (ix *index) slackMS() int64 { return ix.log.Slack.Milliseconds() + 1 }

// mayExpire is the earliest moment at which e can have expired.
func (ix *index) mayExpire(e *entry) Moment {
	if e.TTL == 0 {
		return always
	}
	return e.first + e.TTL - ix.log.Slack - time.Millisecond
}

// mayBeGone is the earliest moment at which e can have left for another reason than acks.
func (ix *index) mayBeGone(e *entry) Moment {
	return min(ix.mayExpire(e), e.mayBeReplaced, e.mayBeRecalled)
}

// killed reports whether the server was killed from one moment to another.
func (ix *index) killed(from, to Moment) bool {
	i, _ := slices.BinarySearch(ix.log.Kills, from)
	return i < len(ix.log.Kills) && ix.log.Kills[i] <= to
}
