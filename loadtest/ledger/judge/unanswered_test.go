package judge

import "testing"

// TestManyAttemptsWithoutAnAnswerAreJudged: as many as there are while a part of the cluster is cut off, in no time, whatever the verdict is.
func TestManyAttemptsWithoutAnAnswerAreJudged(t *testing.T) {
	for _, c := range []struct {
		name  string
		last  []Status // behind the attempts without an answer
		found Kind     // empty: nothing
	}{
		{"one of them was stored", []Status{Duplicate, Duplicate}, ""},
		{"none of them was stored before", []Status{Accepted, Duplicate}, ""},
		{"accepted twice", []Status{Accepted, Accepted}, Again},
		{"accepted behind a duplicate", []Status{Duplicate, Accepted}, Again},
	} {
		m := &Message{User: "u", ID: "m"}
		at := Moment(1)
		for range 200 {
			m.Attempts = append(m.Attempts, Attempt{Sent: at, Ended: at + 1, Over: "http"})
			at += 2
		}
		for _, s := range c.last {
			m.Attempts = append(m.Attempts, Attempt{Sent: at, Answered: at + 1, Ended: at + 1, Status: s, Over: "http"})
			at += 2
		}
		r := Judge(&Log{Messages: []*Message{m}})
		if c.found == "" && !r.OK() || c.found != "" && r.Of(c.found)+r.Of(Duplicated) == 0 {
			t.Errorf("%s: found %v", c.name, r.Violations)
		}
	}
}
