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
