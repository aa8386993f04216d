package main

import (
	"slices"
	"testing"
	"time"

	"ramen/loadtest/ledger/judge"
)

// TestRowsCountEachMessageToTheActInWhichItWasSent, and what is of no message to the last one.
func TestRowsCountEachMessageToTheActInWhichItWasSent(t *testing.T) {
	published := func(id string, sent judge.Moment, statuses ...judge.Status) *judge.Message {
		m := &judge.Message{User: "u", ID: id}
		for _, x := range statuses {
			m.Attempts = append(m.Attempts, judge.Attempt{Sent: sent, Answered: sent + 1, Ended: sent + 1, Status: x})
		}
		return m
	}
	push := func(ids ...string) (s *judge.Stream) {
		s = &judge.Stream{}
		for _, id := range ids {
			s.Pushes = append(s.Pushes, judge.Push{ID: id})
		}
		return s
	}
	l := &judge.Log{
		Messages: []*judge.Message{
			published("calm", 1, judge.Accepted), published("first", 20, judge.Unknown, judge.Duplicate), published("second", 35, judge.Accepted),
			published("lost", 36, judge.Accepted), published("never", 40, judge.Unknown),
		},
		Devices: []*judge.Device{
			{User: "u", Streams: []*judge.Stream{push("calm", "second"), push("second", "unheard of")}},
			{User: "u", Streams: []*judge.Stream{push("first")}},
		},
	}
	r := &judge.Report{Violations: []judge.Violation{
		{Kind: judge.Missing, User: "u", ID: "first"}, {Kind: judge.Twice, User: "u", ID: "second"}, {Kind: judge.Fault},
	}, LostMissing: []judge.Violation{{Kind: judge.Missing, User: "u", ID: "lost"}}}
	s := &stage{site: &site{name: "store"}, cfg: config{Seed: 7}, acts: []act{{"a", 10, 10 + time.Second}, {"b", 30, 30}}}
	want := []row{
		{store: "store", act: "a", seed: 7, accepted: 2, pushed: 2, missing: 1, refused: 1, took: time.Second},
		{store: "store", act: "b", seed: 7, accepted: 2, pushed: 1, again: 1, refused: 1, lost: 1, broken: 2},
	}
	if got := rows(s, l, r); !slices.Equal(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}
