package judge

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestHonestServersAreNotAccused judges many logs of a server without a fault.
func TestHonestServersAreNotAccused(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("first seed %d", seed)
	for i := range uint64(200) {
		l := honestLog(seed+i, 300)
		if r := Judge(l); !r.OK() {
			var b bytes.Buffer
			WriteViolations(&b, l, r, 3)
			t.Fatalf("seed %d: %s", seed+i, &b)
		}
	}
}

// crime is something that a faulty server leaves in a log. do reports whether the log had an occasion for it.
type crime struct {
	name string
	kind Kind
	do   func(l *Log) bool
}

var crimes = []crime{
	{"a delivery is lost", Missing, loseDelivery},
	{"a message is lost that would live beyond the run", Missing, loseLongLife},
	{"a delivery is lost and its message replaced much later", Skipped, skipThenReplace},
	{"a replaced message comes after a kill", Replaced, returnReplaced},
	{"a replaced message comes first on an exact cursor's stream", Replaced, returnReplaced},
	{"a recalled message comes to a new stream", Recalled, returnRecalled},
	{"a message is pushed after its end", Expired, pushExpired},
	{"what a cursor covers comes again", Acked, returnCovered},
	{"what this process has confirmed as acked comes again", Acked, returnConfirmed},
	{"a message comes twice on a stream", Twice, pushTwice},
	{"two of one priority change places", Order, swapLane},
	{"a low one goes before a high one", Priority, swapPriorities},
	{"nobody has published it", Stranger, inventMessage},
	{"it comes to another device", Foreign, misdeliver},
	{"its payload is another's", Content, spoil},
	{"a number is left out", Seq, skipSeq},
	{"a good cursor is not honoured", Resume, forgetCursor},
	{"an id is accepted again", Again, acceptAgain},
	{"an id is accepted again after an answer was lost", Again, acceptAgainAfterLost},
	{"an id is accepted behind a duplicate", Duplicated, acceptBehindDuplicate},
	{"a publish is answered late", Late, answerLate},
	{"it lives longer than asked", Life, stretchLife},
	{"hello tells of more than has expired", Told, overTell},
	{"a stream ends though nothing was done to its server", Ended, cutStream},
	{"the server ends by itself", Fault, func(l *Log) bool { l.Faults = append(l.Faults, "it has ended"); return true }},
}

// TestEachCrimeIsFound doctors honest logs, and has the judge find what was done, under its name and with a history.
func TestEachCrimeIsFound(t *testing.T) {
	for _, c := range crimes {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			found := 0
			for seed := uint64(1); seed <= 60; seed++ {
				l := honestLog(seed, 300)
				if !c.do(l) {
					continue
				}
				r := Judge(l)
				if r.Of(c.kind) == 0 {
					t.Fatalf("seed %d: not found; %+v", seed, r.Violations)
				}
				found++
				var b bytes.Buffer
				WriteViolations(&b, l, r, 1)
				if !strings.Contains(b.String(), string(c.kind)+": ") {
					t.Fatalf("the violation is not printed:\n%s", &b)
				}
			}
			if found < 5 {
				t.Fatalf("only %d logs had an occasion", found)
			}
		})
	}
}

// eachPush looks for a push that f wants.
func eachPush(l *Log, f func(d *Device, s *Stream, si, pi int) bool) bool {
	for _, d := range l.Devices {
		for si, s := range d.Streams {
			for pi := range s.Pushes {
				if f(d, s, si, pi) {
					return true
				}
			}
		}
	}
	return false
}

// drop removes every push of id to d, the numbers behind it moving up, and what was acked of its streams.
func drop(d *Device, id string) {
	for si, s := range d.Streams {
		i := slices.IndexFunc(s.Pushes, func(p Push) bool { return p.ID == id })
		if i < 0 {
			continue
		}
		s.Pushes = slices.Delete(s.Pushes, i, i+1)
		for k := i; k < len(s.Pushes); k++ {
			s.Pushes[k].Seq--
		}
		for k := range s.Acks {
			if s.Acks[k].Pushes > i {
				s.Acks[k].Pushes--
			}
		}
		for _, o := range d.Streams[si:] {
			if o.From.Stream == si && o.From.Pushes > i {
				o.From.Pushes--
			}
		}
	}
}

// lasting finds pushes of messages that nothing excuses.
func lasting(l *Log, m *Message) bool {
	return m.TTL == 0 && len(m.Recalls) == 0 && !slices.ContainsFunc(l.Messages, func(o *Message) bool { return o != m && m.Key != "" && o.Key == m.Key })
}

func loseDelivery(l *Log) bool {
	return eachPush(l, func(d *Device, s *Stream, _, pi int) bool {
		m := l.message(s.Pushes[pi].ID)
		if !lasting(l, m) {
			return false
		}
		drop(d, m.ID)
		return true
	})
}

// loseLongLife takes away a delivery that could be excused only by an end that has not come.
func loseLongLife(l *Log) bool {
	return eachPush(l, func(d *Device, s *Stream, _, pi int) bool {
		m := l.message(s.Pushes[pi].ID)
		if !lasting(l, m) {
			return false
		}
		m.TTL = 30 * time.Minute
		drop(d, m.ID)
		return true
	})
}

// skipThenReplace takes away a message's delivery, though another of its priority came after it, and replaces it at the end.
func skipThenReplace(l *Log) bool {
	return eachPush(l, func(d *Device, s *Stream, _, pi int) bool {
		m := l.message(s.Pushes[pi].ID)
		if !lasting(l, m) || pi+1 == len(s.Pushes) || l.message(s.Pushes[pi+1].ID).Priority != m.Priority || l.message(s.Pushes[pi+1].ID).Attempts[0].Sent < m.Attempts[0].Answered {
			return false
		}
		drop(d, m.ID)
		m.Key = "late"
		r := *m
		r.ID, r.Attempts = "replacement", []Attempt{{Sent: time.Hour, Status: Unknown}}
		d.Streams[len(d.Streams)-1].Ended = 2 * time.Hour
		l.Messages = append(l.Messages, &r)
		return true
	})
}

// stream adds a stream at the end, without a cursor, with one push.
func (l *Log) stream(d *Device, m *Message, expiresMS int64) *Stream {
	last := d.Streams[len(d.Streams)-1]
	seq, now := last.Seq+uint64(len(last.Pushes)), last.Opened+time.Second
	s := &Stream{Transport: "sse", Opened: now, From: Nowhere, Greeted: now + 1, Seq: seq, HasSeq: true, Pushes: []Push{{At: now + 2, ID: m.ID, Seq: seq + 1, Priority: m.Priority, ExpiresMS: expiresMS}}}
	d.Streams = append(d.Streams, s)
	l.Kills = append(l.Kills, now-1)
	return s
}

func (l *Log) expiry(m *Message) int64 {
	return l.Began.Add(m.Attempts[0].Sent + 30*time.Minute).UnixMilli()
}

// returnTo pushes m to a device that it is for, on a new stream after a kill.
func returnTo(l *Log, m *Message) bool {
	for _, d := range l.Devices {
		if e := (&entry{Message: m}); e.isFor(d) {
			l.stream(d, m, l.expiry(m))
			return true
		}
	}
	return false
}

func returnReplaced(l *Log) bool {
	for i, m := range l.Messages {
		if m.TTL == 0 && m.Key != "" && len(m.Recalls) == 0 && slices.ContainsFunc(l.Messages[i+1:], func(o *Message) bool { return o.Key == m.Key && o.Target.key() == m.Target.key() }) {
			return returnTo(l, m)
		}
	}
	return false
}

func returnRecalled(l *Log) bool {
	for _, m := range l.Messages {
		if m.TTL == 0 && len(m.Recalls) > 0 {
			return returnTo(l, m)
		}
	}
	return false
}

func pushExpired(l *Log) bool {
	return eachPush(l, func(d *Device, s *Stream, _, pi int) bool {
		m := l.message(s.Pushes[pi].ID)
		if m.TTL == 0 || len(m.Recalls) > 0 || m.Key != "" {
			return false
		}
		l.stream(d, m, s.Pushes[pi].ExpiresMS)
		return true
	})
}

func returnCovered(l *Log) bool {
	return eachPush(l, func(d *Device, s *Stream, si, pi int) bool {
		for _, o := range d.Streams[si+1:] {
			if o.Resumed && o.From.Stream == si && o.From.Pushes > pi && len(o.Pushes) > 0 {
				o.Pushes = append(o.Pushes, s.Pushes[pi])
				o.Pushes[len(o.Pushes)-1].At = o.Pushes[len(o.Pushes)-2].At
				return true
			}
		}
		return false
	})
}

func returnConfirmed(l *Log) bool {
	return eachPush(l, func(d *Device, s *Stream, si, pi int) bool {
		if si+1 == len(d.Streams) || d.Streams[si+1].From != Nowhere || len(s.Acks) == 0 || s.Acks[0].Pushes <= pi {
			return false
		}
		o := d.Streams[si+1]
		b := newIndex(l)
		if b.killed(s.Acks[0].Sent, o.Greeted) {
			return false
		}
		p := s.Pushes[pi]
		p.At = o.Greeted
		o.Pushes = slices.Insert(o.Pushes, 0, p)
		return true
	})
}

func pushTwice(l *Log) bool {
	return eachPush(l, func(_ *Device, s *Stream, _, pi int) bool {
		s.Pushes = append(s.Pushes, s.Pushes[pi])
		return true
	})
}

// swap has a push change places with the next one, where their messages do as wanted.
func swap(l *Log, wanted func(first, second *Message) bool) bool {
	return eachPush(l, func(_ *Device, s *Stream, _, pi int) bool {
		if pi+1 == len(s.Pushes) || !wanted(l.message(s.Pushes[pi].ID), l.message(s.Pushes[pi+1].ID)) {
			return false
		}
		a, b := &s.Pushes[pi], &s.Pushes[pi+1]
		a.ID, b.ID = b.ID, a.ID
		a.Priority, b.Priority = b.Priority, a.Priority
		a.ExpiresMS, b.ExpiresMS = b.ExpiresMS, a.ExpiresMS
		return true
	})
}

func swapLane(l *Log) bool {
	return swap(l, func(a, b *Message) bool { return a.Priority == b.Priority })
}

func swapPriorities(l *Log) bool {
	return swap(l, func(a, b *Message) bool {
		return a.Priority < b.Priority && a.Attempts[0].Answered < b.Attempts[0].Sent
	})
}

func inventMessage(l *Log) bool {
	return eachPush(l, func(_ *Device, s *Stream, _, pi int) bool {
		s.Pushes[pi].ID = "x"
		return true
	})
}

func misdeliver(l *Log) bool {
	return eachPush(l, func(d *Device, s *Stream, _, pi int) bool {
		m := l.message(s.Pushes[pi].ID)
		m.Target.Device = "another"
		return true
	})
}

func spoil(l *Log) bool {
	return eachPush(l, func(_ *Device, s *Stream, _, pi int) bool {
		s.Pushes[pi].Wrong = "its payload is another's"
		return true
	})
}

func skipSeq(l *Log) bool {
	return eachPush(l, func(_ *Device, s *Stream, _, pi int) bool {
		s.Pushes[pi].Seq += 7
		return true
	})
}

func forgetCursor(l *Log) bool {
	for _, s := range l.Devices[0].Streams {
		if s.Resumed {
			s.Resumed = false
			return true
		}
	}
	return false
}

func acceptAgain(l *Log) bool {
	m := l.Messages[0]
	at := m.Attempts[0].Answered
	m.Attempts = append(m.Attempts, Attempt{Sent: at + 1, Answered: at + 2, Status: Accepted})
	return true
}

// acceptAgainAfterLost has an attempt without an answer between two that are accepted: it may have been either of them, and not both.
func acceptAgainAfterLost(l *Log) bool {
	m := l.Messages[0]
	at := m.Attempts[0].Answered
	m.Attempts = append(m.Attempts, Attempt{Sent: at + 1, Ended: at + 2}, Attempt{Sent: at + 3, Answered: at + 4, Status: Accepted})
	return true
}

func acceptBehindDuplicate(l *Log) bool {
	m := l.Messages[0]
	a := &m.Attempts[0]
	a.Status = Duplicate
	m.Attempts = append(m.Attempts, Attempt{Sent: a.Answered + 1, Answered: a.Answered + 2, Status: Accepted})
	return true
}

// TestAnswersWithAnOrderAreNotAccused: of lost answers, of tries inside, and of what is under way at the same time.
func TestAnswersWithAnOrderAreNotAccused(t *testing.T) {
	done := []Span{{What: "a link is cut", From: 5, To: 6}}
	for _, c := range []struct {
		name     string
		spans    []Span
		attempts []Attempt
		kind     Kind // empty: none
	}{
		{"accepted, then duplicates", nil, []Attempt{{Sent: 1, Answered: 2, Status: Accepted}, {Sent: 3, Answered: 4, Status: Duplicate}, {Sent: 5, Answered: 6, Status: Duplicate}}, ""},
		{"the answer was lost, then a duplicate", nil, []Attempt{{Sent: 1, Ended: 2}, {Sent: 3, Answered: 4, Status: Duplicate}}, ""},
		{"the answer was lost, and it was not stored", nil, []Attempt{{Sent: 1, Ended: 2}, {Sent: 3, Answered: 4, Status: Accepted}}, ""},
		{"what is lost arrives behind all others", nil, []Attempt{{Sent: 1, Ended: 2}, {Sent: 3, Answered: 4, Status: Accepted}, {Sent: 5, Answered: 6, Status: Duplicate}}, ""},
		{"refused, then accepted", nil, []Attempt{{Sent: 1, Answered: 2, Status: Refused}, {Sent: 3, Answered: 4, Status: Accepted}}, ""},
		{"twice in one batch", nil, []Attempt{{Sent: 1, Answered: 2, Status: Duplicate}, {Sent: 1, Answered: 2, Status: Accepted}}, ""},
		{"the answer inside was lost", done, []Attempt{{Sent: 4, Answered: 7, Status: Duplicate}}, ""},
		{"a duplicate of nothing", nil, []Attempt{{Sent: 1, Answered: 2, Status: Duplicate}}, Duplicated},
		{"long after something was done", done, []Attempt{{Sent: 7 + insideFor, Answered: 8 + insideFor, Status: Duplicate}}, Duplicated},
		{"refused is not stored", nil, []Attempt{{Sent: 1, Answered: 2, Status: Refused}, {Sent: 3, Answered: 4, Status: Duplicate}}, Duplicated},
		{"accepted twice, whatever was lost inside", done, []Attempt{{Sent: 4, Answered: 7, Status: Accepted}, {Sent: 8, Answered: 9, Status: Accepted}}, Again},
		{"accepted twice at the same time", nil, []Attempt{{Sent: 1, Answered: 4, Status: Accepted}, {Sent: 2, Answered: 3, Status: Accepted}}, Again},
		{"one lost answer does not excuse two", nil, []Attempt{{Sent: 1, Ended: 2}, {Sent: 3, Answered: 4, Status: Duplicate}, {Sent: 5, Answered: 6, Status: Accepted}}, Duplicated},
	} {
		l := &Log{Spans: c.spans, Messages: []*Message{{User: "u", ID: "m", Attempts: c.attempts}}}
		r := Judge(l)
		if c.kind == "" && !r.OK() || c.kind != "" && r.Of(c.kind) != 1 {
			t.Errorf("%s: %+v", c.name, r.Violations)
		}
	}
}

func answerLate(l *Log) bool {
	b := newIndex(l)
	for _, m := range l.Messages {
		if a := &m.Attempts[0]; !b.killed(a.Sent, a.Answered) && a.Answered > a.Sent+1 {
			a.Ended, l.Deadline = a.Answered, a.Answered-a.Sent-1
			return true
		}
	}
	return false
}

func stretchLife(l *Log) bool {
	return eachPush(l, func(_ *Device, s *Stream, _, pi int) bool {
		if l.message(s.Pushes[pi].ID).TTL == 0 {
			return false
		}
		s.Pushes[pi].ExpiresMS += time.Minute.Milliseconds()
		return true
	})
}

func cutStream(l *Log) bool {
	for _, s := range l.Devices[0].Streams {
		if s.Greeted != 0 && s.HasSeq {
			s.Cut, s.Server, l.Holds = true, "a", true
			l.Spans = append(l.Spans, Span{What: "another server is killed", To: always, Ends: []string{"b"}})
			return true
		}
	}
	return false
}

func overTell(l *Log) bool {
	l.Devices[0].Streams[0].Expired = uint32(len(l.Messages) + 1)
	return true
}
