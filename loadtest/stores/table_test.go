package main

import (
	"strings"
	"testing"

	"ramen/loadtest/expect"
	"ramen/loadtest/report"
)

func TestTableComparesWithTheFirstStore(t *testing.T) {
	first, other := &site{says: "first"}, &site{says: "other"}
	table := newTable([]*site{first, other}, []column{{"ours", "CPU"}, {"p99", "publish to push p99"}})
	section := func(cpu, p99 float64) *report.Section {
		s := new(report.Section)
		s.Add("CPU", cpu, "µs")
		s.Add("publish to push p99", p99, "ms")
		s.Add("another", 7, "s")
		return s
	}
	table.add(first, section(10, 1))
	table.add(other, section(20, 2))
	table.add(other, section(40, 3))
	broken := &report.Section{Failed: "it has gone", Counts: map[expect.Kind]int64{expect.Lost: 3}, Notes: []string{"publishes were refused: unavailable ×2", "of no interest"}}
	table.add(other, broken)
	got := table.String()
	for _, want := range []string{
		"| store | ours, µs | × | p99, ms |\n", "| first | 10.0 | 1.00 | 1.00 |\n", "| other | 20.0; 40.0 | 3.00 | 2.00; 3.00 |\n",
		"- other: it has gone\n", "- other: VIOLATED lost: 3 times\n", "- other: publishes were refused: unavailable ×2\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("there is no %q in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "no interest") {
		t.Error(got)
	}
}

func TestUnknownNamesAreRefused(t *testing.T) {
	if err := known([]string{embedded, nodes}, siteNames, "store"); err != nil {
		t.Error(err)
	}
	if err := known([]string{"mysql"}, siteNames, "store"); err == nil || !strings.Contains(err.Error(), "mysql") {
		t.Error(err)
	}
}

func TestSectionsOfServersAreOne(t *testing.T) {
	section := func(seconds, p50, ours, theirs float64) report.Section {
		s := report.Section{}
		s.Add(allBack, seconds, "s")
		s.Add(openP50, p50, "ms")
		s.Add(ourCPU, ours, "µs")
		s.Add(storeCPU, theirs, "µs")
		return s
	}
	first, second := section(3, 10, 100, 400), section(5, 30, 200, 600)
	second.Counts, second.Failed = map[expect.Kind]int64{expect.Lost: 2}, "it has gone"
	all := joined([]report.Section{first, second})
	got := make(map[string]float64)
	for _, r := range all.Rows {
		got[r.Name] = r.Value
	}
	for name, want := range map[string]float64{allBack: 5, openP50: 20, ourCPU: 150, storeCPU: 300} {
		if got[name] != want {
			t.Errorf("%s: %v, want %v", name, got[name], want)
		}
	}
	if len(got) != 4 || all.Counts[expect.Lost] != 2 || all.Failed == "" {
		t.Errorf("%+v", all)
	}
	for _, x := range []struct{ devices, files, want int }{{100_000, 20_000, 6}, {19_000, 20_000, 1}, {19_001, 20_000, 2}, {1_000_000, 0, 1}} {
		if n := serversFor(x.devices, x.files); n != x.want {
			t.Errorf("%d devices, %d files: %d servers, want %d", x.devices, x.files, n, x.want)
		}
	}
}

// TestAMeetingWaitsForAll but for those who have left.
func TestAMeetingWaitsForAll(t *testing.T) {
	m := newMeeting(3)
	met := make(chan struct{}, 2)
	for range 2 {
		go func() { m.meet(t.Context()); met <- struct{}{} }()
	}
	select {
	case <-met:
		t.Fatal("it waited for two of three")
	default:
	}
	m.leave()
	<-met
	<-met
}
