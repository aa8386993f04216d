package judge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"ramen/protocol"
)

// whole is a span over all of a log.
func whole(s Span) Span {
	s.What, s.From, s.To = "all of it", 0, always
	return s
}

// TestLossThatTheStoreMayHaveIsCountedApart from violations, whatever shows it; and what no loss explains is still found.
func TestLossThatTheStoreMayHaveIsCountedApart(t *testing.T) {
	lossNever := map[Kind]bool{Twice: true, Stranger: true, Foreign: true, Content: true, Seq: true, Late: true, Told: true, Ended: true, Expired: true, Fault: true}
	for _, c := range crimes {
		for seed := uint64(1); seed <= 20; seed++ {
			l := honestLog(seed, 300)
			if !c.do(l) {
				continue
			}
			l.Spans = []Span{whole(Span{Loses: true})}
			r := Judge(l)
			if lossNever[c.kind] && r.Of(c.kind) == 0 {
				t.Errorf("%s, seed %d: not found", c.name, seed)
			}
			if !lossNever[c.kind] && (r.Of(c.kind) > 0 || r.Lost[c.kind] == 0 && c.kind != Acked) {
				t.Errorf("%s, seed %d: violations %v, lost %v", c.name, seed, r.Violations, r.Lost)
			}
		}
	}
}

// TestLossExcusesNothingAfterIt: what was published once the store had lost all is due.
func TestLossExcusesNothingAfterIt(t *testing.T) {
	found := 0
	for _, c := range crimes {
		for seed := uint64(1); seed <= 20; seed++ {
			l := honestLog(seed, 300)
			if !c.do(l) {
				continue
			}
			l.Spans = []Span{{What: "before all", Loses: true}}
			if r := Judge(l); r.Of(c.kind) == 0 {
				t.Errorf("%s, seed %d: not found", c.name, seed)
			}
			found++
		}
	}
	if found < 10*len(crimes) {
		t.Errorf("only %d logs had an occasion", found)
	}
}

// TestAckIsExcusedUntilItMustBeSaved: a lost owner excuses the acks that it had not saved, and no other span does.
func TestAckIsExcusedUntilItMustBeSaved(t *testing.T) {
	found := 0
	for seed := uint64(1); seed <= 60; seed++ {
		l := honestLog(seed, 300)
		if !returnConfirmed(l) {
			continue
		}
		found++
		for _, c := range []struct {
			name    string
			span    Span
			savedIn time.Duration
			excused bool
		}{
			{"the owner is lost", Span{Owner: true}, 0, true},
			{"the owner stops by itself", Span{Lapsed: true}, 0, true},
			{"the owner is lost meanwhile, and could not save", Span{Owner: true}, time.Nanosecond, true},
			{"the store is slow", Span{}, 0, false},
		} {
			l.Spans, l.SavedIn = []Span{whole(c.span)}, c.savedIn
			r := Judge(l)
			accused := slices.ContainsFunc(r.Violations, func(v Violation) bool {
				return v.Kind == Acked && strings.Contains(v.Text, "this process had confirmed")
			})
			if accused == c.excused {
				t.Errorf("seed %d, %s: %v", seed, c.name, r.Violations)
			}
		}
	}
	if found < 5 {
		t.Fatalf("only %d logs had an occasion", found)
	}
}

// TestSavedAckOutlivesItsOwner: an ack has a time to be saved in, which spans prolong.
func TestSavedAckOutlivesItsOwner(t *testing.T) {
	const second = time.Second
	b := &index{log: &Log{SavedIn: second, Spans: []Span{{What: "slow", From: 10 * second, To: 13 * second}, {What: "paused", From: 20 * second, To: 21 * second, Owner: true}}}}
	for _, c := range []struct {
		acked  Moment
		forgot bool
	}{{5 * second, false}, {9500 * time.Millisecond, false}, {18 * second, false}, {19500 * time.Millisecond, true}, {20500 * time.Millisecond, true}, {22 * second, false}} {
		if got := b.mayForgetAck(c.acked, c.acked, 30*second); got != c.forgot {
			t.Errorf("acked at %v: may be forgotten: %v", c.acked, got)
		}
	}
	b.log.Kills = []Moment{13500 * time.Millisecond}
	if !b.mayForgetAck(10*second, 10*second, 30*second) || b.mayForgetAck(8*second, 8*second, 30*second) {
		t.Error("a slow store does not put off the save that a kill cuts off")
	}
}

// TestSilenceIsExcusedWhereNobodyCouldAnswer while who had to was paused.
func TestSilenceIsExcusedWhereNobodyCouldAnswer(t *testing.T) {
	l := honestLog(1, 300)
	if !answerLate(l) {
		t.Fatal("no occasion")
	}
	l.Spans = []Span{whole(Span{})}
	if Judge(l).Of(Late) == 0 {
		t.Error("a span excuses a late answer that is not one of silence")
	}
	l.Spans = []Span{whole(Span{Silent: true})}
	if r := Judge(l); !r.OK() {
		t.Errorf("%v", r.Violations)
	}
}

// TestUnavailableIsFoundWhereServiceGoesOn, and only there.
func TestUnavailableIsFoundWhereServiceGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		spans []Span
		found bool
	}{
		"nothing was done":           {nil, false},
		"service goes on":            {[]Span{whole(Span{Serves: true})}, true},
		"it need not":                {[]Span{whole(Span{})}, false},
		"something else is done too": {[]Span{whole(Span{Serves: true}), whole(Span{Owner: true})}, false},
		"the owner stops by itself":  {[]Span{whole(Span{Serves: true}), whole(Span{Lapsed: true})}, true},
	} {
		l := honestLog(1, 300)
		l.Kills = nil
		m := l.Messages[0]
		m.Attempts = append([]Attempt{{Sent: m.Attempts[0].Sent, Ended: m.Attempts[0].Answered}}, m.Attempts...)
		l.Spans = c.spans
		if r := Judge(l); (r.Of(Unavailable) == 1) != c.found || r.Of(Unavailable) > 1 {
			t.Errorf("%s: %v", name, r.Violations)
		}
	}
}

// TestAcceptedWithoutCoverIsFound: within a span in which the store could keep nothing, and only there.
func TestAcceptedWithoutCoverIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		span  func(a Attempt) Span
		found bool
	}{
		"within":                  {func(a Attempt) Span { return Span{Refuses: true, From: a.Sent - 1, To: a.Answered + 1} }, true},
		"sent before":             {func(a Attempt) Span { return Span{Refuses: true, From: a.Sent, To: a.Answered + 1} }, false},
		"answered after":          {func(a Attempt) Span { return Span{Refuses: true, From: a.Sent - 1, To: a.Answered} }, false},
		"the store could keep it": {func(a Attempt) Span { return Span{Owner: true, From: a.Sent - 1, To: a.Answered + 1} }, false},
	} {
		l := honestLog(1, 300)
		i := slices.IndexFunc(l.Messages, func(m *Message) bool { return m.Attempts[0].Status == Accepted })
		l.Spans = []Span{c.span(l.Messages[i].Attempts[0])}
		r := Judge(l)
		found := slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Kind == Uncovered && v.ID == l.Messages[i].ID })
		if found != c.found || !found && !r.OK() {
			t.Errorf("%s: %v", name, r.Violations)
		}
	}
}

// TestForgottenDeviceNeedNotGetWhatCameMeanwhile: a loss may have taken it, until it comes again. What comes first to a user's only device
// waits for it.
func TestForgottenDeviceNeedNotGetWhatCameMeanwhile(t *testing.T) {
	const second = time.Second
	for name, c := range map[string]struct {
		sent  Moment
		sole  bool
		again Moment // the device comes again
		found bool
	}{
		"it was away":               {sent: 6 * second, again: 8 * second},
		"it had come again":         {sent: 9 * second, again: 8 * second, found: true},
		"it is the only one":        {sent: 6 * second, again: 8 * second, sole: true, found: true},
		"it came again at the loss": {sent: 9 * second, again: 4 * second},
	} {
		l := &Log{
			Spans:    []Span{{What: "flushed", From: 3 * second, To: 5 * second, Owner: true, Loses: true}},
			Messages: []*Message{{User: "u", ID: "m", Priority: protocol.PriorityHigh, Chain: 1, Nth: 1, Attempts: []Attempt{{Sent: c.sent, Answered: c.sent + 1, Ended: c.sent + 1, Status: Accepted}}}},
			Devices: []*Device{{User: "u", Name: "a", Streams: []*Stream{
				{Opened: 1, Greeted: second, Ended: 2 * second, From: Nowhere},
				{Opened: c.again - 1, Greeted: c.again, Ended: 20 * second, From: Nowhere},
			}}},
		}
		if !c.sole {
			got := []Push{{At: c.sent + 2, ID: "m", Seq: 1, Priority: protocol.PriorityHigh, ExpiresMS: 1 << 60}}
			l.Devices = append(l.Devices, &Device{User: "u", Name: "b", Streams: []*Stream{{Opened: 1, Greeted: second, Ended: 20 * second, From: Nowhere, Pushes: got}}})
		}
		r := Judge(l)
		if (r.Of(Missing) == 1) != c.found || (r.Lost[Missing] == 1) == c.found || len(r.Violations) > 1 || (c.found && len(r.Violations) != 1) {
			t.Errorf("%s: %v, lost %v", name, r.Violations, r.Lost)
		}
	}
}

// TestLostIdMayComeTwice on one stream, where it was accepted a second time for that.
func TestLostIdMayComeTwice(t *testing.T) {
	found := 0
	for seed := uint64(1); seed <= 20; seed++ {
		l := honestLog(seed, 300)
		if !pushTwice(l) {
			continue
		}
		l.Spans = []Span{whole(Span{Loses: true})}
		r := Judge(l)
		i := slices.IndexFunc(r.Violations, func(v Violation) bool { return v.Kind == Twice })
		if i < 0 {
			t.Fatalf("seed %d: not found: %v", seed, r.Violations)
		}
		m := l.Messages[slices.IndexFunc(l.Messages, func(m *Message) bool { return m.ID == r.Violations[i].ID && m.User == r.Violations[i].User })]
		again := m.Attempts[len(m.Attempts)-1]
		again.Status = Accepted
		m.Attempts = append(m.Attempts, again, again)
		if r := Judge(l); r.Of(Twice) > 0 || r.Lost[Twice] == 0 {
			t.Errorf("seed %d: %v", seed, r.Violations)
		}
		l.Spans = nil
		if r := Judge(l); r.Of(Twice) == 0 {
			t.Errorf("seed %d: excused without a loss", seed)
		}
		found++
	}
	if found < 5 {
		t.Fatalf("only %d logs had an occasion", found)
	}
}

// TestForgottenDeviceIsPassedOver by what expired before it came again, and so was not kept for it.
func TestForgottenDeviceIsPassedOver(t *testing.T) {
	const second = time.Second
	began := time.UnixMilli(1_000_000)
	accepted := func(id string, p protocol.Priority, nth int, at Moment, ttl time.Duration) *Message {
		return &Message{User: "u", ID: id, Priority: p, Chain: 1, Nth: nth, TTL: ttl, Attempts: []Attempt{{Sent: at, Answered: at + 1, Ended: at + 1, Status: Accepted}}}
	}
	push := func(id string, p protocol.Priority, at Moment, ends time.Duration, seq uint64) Push {
		return Push{At: at, ID: id, Priority: p, Seq: seq, ExpiresMS: began.Add(ends).UnixMilli()}
	}
	for _, again := range []Moment{5500 * time.Millisecond, 8 * second} {
		l := &Log{
			Began: began,
			Spans: []Span{{What: "flushed", From: 3 * second, To: 5 * second, Owner: true, Loses: true}},
			Messages: []*Message{
				accepted("short", protocol.PriorityHigh, 1, 6*second, 3*second), accepted("low", protocol.PriorityLow, 2, 8200*time.Millisecond, 0),
			},
			Devices: []*Device{
				{User: "u", Name: "a", Streams: []*Stream{
					{Opened: 1, Greeted: second, Ended: 2 * second, From: Nowhere},
					{Opened: again - 1, Greeted: again, Ended: 20 * second, From: Nowhere, HasSeq: true,
						Pushes: []Push{push("low", protocol.PriorityLow, 8500*time.Millisecond, time.Hour, 1)}},
				}},
				{User: "u", Name: "b", Streams: []*Stream{{Opened: 1, Greeted: second, Ended: 20 * second, From: Nowhere, HasSeq: true, Pushes: []Push{
					push("short", protocol.PriorityHigh, 6*second+2, 9*second, 1), push("low", protocol.PriorityLow, 8500*time.Millisecond, time.Hour, 2),
				}}}},
			},
		}
		forgotten := again > 6*second
		r := Judge(l)
		if (r.Of(Skipped) == 1) == forgotten || (r.Lost[Skipped] == 1) != forgotten || len(r.Violations) != r.Of(Skipped) {
			t.Errorf("it came again at %v: %v, lost %v", again, r.Violations, r.Lost)
		}
	}
}

// TestRecallThatWasTriedAgain: that there is no such message excuses what did not come only where a fault can have lost an earlier answer.
func TestRecallThatWasTriedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		span  func(r Recall) Span
		kills func(r Recall) []Moment
		found bool
	}{
		"a fault meanwhile": {span: func(r Recall) Span { return Span{From: r.Sent + 1, To: r.Answered} }},
		"a kill meanwhile":  {kills: func(r Recall) []Moment { return []Moment{r.Answered} }},
		"a fault before":    {span: func(r Recall) Span { return Span{To: r.Sent - 1} }, found: true},
		"a kill after":      {kills: func(r Recall) []Moment { return []Moment{r.Answered + 1} }, found: true},
		"nothing was done":  {found: true},
	} {
		l := honestLog(2, 300)
		l.Kills = nil
		var m *Message
		eachPush(l, func(_ *Device, s *Stream, _, pi int) bool {
			m = l.message(s.Pushes[pi].ID)
			return lasting(l, m)
		})
		at := m.Attempts[0].Answered
		r := Recall{Sent: at + 10, Answered: at + 20, Denied: true}
		m.Recalls = []Recall{r}
		for _, d := range l.Devices {
			drop(d, m.ID)
		}
		if c.span != nil {
			l.Spans = []Span{c.span(r)}
		}
		if c.kills != nil {
			l.Kills = c.kills(r)
		}
		v := Judge(l)
		found := slices.ContainsFunc(v.Violations, func(v Violation) bool {
			return v.ID == m.ID && (v.Kind == Missing || v.Kind == Skipped)
		})
		if found != c.found {
			t.Errorf("%s: %v", name, v.Violations)
		}
	}
}

// TestServerThatMayNotKnowOfItsSuccessor may push what it has, and no longer than that: what another server has accepted and recalled
// meanwhile is not held against it.
func TestServerThatMayNotKnowOfItsSuccessor(t *testing.T) {
	const second = time.Second
	accepted := func(id string, p protocol.Priority, at Moment) *Message {
		return &Message{User: "u", ID: id, Priority: p, Attempts: []Attempt{{Sent: at, Answered: at + 1, Ended: at + 1, Status: Accepted}}}
	}
	push := func(id string, p protocol.Priority, at Moment, seq uint64) Push {
		return Push{At: at, ID: id, Priority: p, Seq: seq, ExpiresMS: time.UnixMilli(1_000_000).Add(time.Hour).UnixMilli()}
	}
	for name, c := range map[string]struct {
		unaware []Unaware
		found   int
	}{
		"nothing was done": {found: 1},
		"while it may":     {unaware: []Unaware{{"older", 2 * second, 6 * second}}},
		"before":           {unaware: []Unaware{{"older", 2 * second, 4 * second}}, found: 1},
		"it is another":    {unaware: []Unaware{{"newer", 2 * second, 6 * second}}, found: 1},
	} {
		low, high, gone := accepted("low", protocol.PriorityLow, 1*second), accepted("high", protocol.PriorityHigh, 3*second), accepted("gone", protocol.PriorityLow, 1*second+10)
		low.Nth, high.Nth, gone.Nth = 1, 2, 3
		gone.Recalls = []Recall{{Sent: 3*second + 10, Answered: 3*second + 20, Confirmed: true}}
		l := &Log{Began: time.UnixMilli(1_000_000), Unaware: c.unaware, Messages: []*Message{low, gone, high}, Devices: []*Device{{User: "u", Name: "a", Streams: []*Stream{
			{Server: "older", Opened: 4 * second, Greeted: 4*second + 1, Ended: 6 * second, From: Nowhere, HasSeq: true, Pushes: []Push{
				push("low", protocol.PriorityLow, 5*second, 1), push("gone", protocol.PriorityLow, 5*second+1, 2)}},
			{Server: "newer", Opened: 7 * second, Greeted: 7*second + 1, Ended: 9 * second, From: Place{0, 2}, Resumed: true, HasSeq: true, Seq: 2,
				Pushes: []Push{push("high", protocol.PriorityHigh, 8*second, 3)}},
		}}}}
		if r := Judge(l); r.Of(Skipped) != c.found || r.Of(Recalled) != c.found || len(r.Violations) != 2*c.found {
			t.Errorf("%s: %v", name, r.Violations)
		}
	}
}
