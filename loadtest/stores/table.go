package main

import (
	"fmt"
	"strings"

	"ramen/loadtest/report"
)

// column is a figure of each store.
type column struct {
	name string // its head
	row  string // of the section
}

// table has the figures of each store, one a round.
type table struct {
	sites   []*site
	columns []column
	values  map[*site][][]float64 // by column
	units   []string              // by column
	wrong   map[*site][]string    // what went wrong
}

func newTable(sites []*site, columns []column) *table {
	return &table{sites: sites, columns: columns, values: make(map[*site][][]float64), units: make([]string, len(columns)), wrong: make(map[*site][]string)}
}

// add takes the figures of a section.
func (t *table) add(s *site, from *report.Section) {
	if t.values[s] == nil {
		t.values[s] = make([][]float64, len(t.columns))
	}
	for i, c := range t.columns {
		for _, r := range from.Rows {
			if r.Name == c.row {
				t.values[s][i], t.units[i] = append(t.values[s][i], r.Value), r.Unit
			}
		}
	}
	if from.Failed != "" {
		t.wrong[s] = append(t.wrong[s], from.Failed)
	}
	for kind, n := range from.Counts {
		t.wrong[s] = append(t.wrong[s], fmt.Sprintf("VIOLATED %s: %d times", kind, n))
	}
	for _, n := range from.Notes {
		if strings.Contains(n, "refused") || strings.Contains(n, "had no answer") || strings.Contains(n, "in time") {
			t.wrong[s] = append(t.wrong[s], n)
		}
	}
}

// String is the table in Markdown: the figures of all rounds, and how far the first column's mean is above that of the first store.
func (t *table) String() string {
	var b strings.Builder
	b.WriteString("| store |")
	for i, c := range t.columns {
		fmt.Fprintf(&b, " %s |", strings.TrimSuffix(c.name+", "+t.units[i], ", "))
		if i == 0 {
			b.WriteString(" × |")
		}
	}
	b.WriteString("\n| --- |" + strings.Repeat(" ---: |", len(t.columns)+1) + "\n")
	for _, s := range t.sites {
		fmt.Fprintf(&b, "| %s |", s.says)
		for i := range t.columns {
			var list []string
			for _, v := range t.at(s, i) {
				list = append(list, report.Number(v))
			}
			fmt.Fprintf(&b, " %s |", strings.Join(list, "; "))
			if i == 0 {
				fmt.Fprintf(&b, " %s |", t.ratio(s))
			}
		}
		b.WriteString("\n")
	}
	for _, s := range t.sites {
		for _, w := range t.wrong[s] {
			fmt.Fprintf(&b, "\n- %s: %s", s.says, strings.ReplaceAll(w, "\n", " "))
		}
	}
	b.WriteString("\n")
	return b.String()
}

func (t *table) at(s *site, column int) []float64 {
	if t.values[s] == nil {
		return nil
	}
	return t.values[s][column]
}

// ratio is the mean of a store's first column by that of the first store; empty where there is none.
func (t *table) ratio(s *site) string {
	own, first := mean(t.at(s, 0)), mean(t.at(t.sites[0], 0))
	if own == 0 || first == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", own/first)
}

// mean is 0 where there is nothing.
func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(1, len(values)))
}
