package report

import (
	"fmt"
	"strings"
)

// Line is one line of the table of a run: a measure, beside its baseline and its budget.
type Line struct {
	Measure  string   `json:"measure"`
	Unit     string   `json:"unit,omitempty"`
	Result   *float64 `json:"result"`          // nil: there is none
	Baseline *float64 `json:"floor,omitempty"` // what the machine costs by itself; nil: there is none
	Budget   float64  `json:"budget,omitempty"`
	AtMost   bool     `json:"at_most,omitempty"`
	Met      bool     `json:"met"`
	// Ratio is result by baseline, BudgetRatio budget by the baseline of where it was set: on a machine that is slower, or has more to do,
	// baselines grow with results. 0: there is none.
	Ratio       float64 `json:"ratio,omitempty"`
	BudgetRatio float64 `json:"budget_ratio,omitempty"`
	Failed      string  `json:"failed,omitempty"` // why there is no result
	Command     string  `json:"command,omitempty"`
}

// Table is the figures that have a name for it, in the order in which they were measured; those of baselines stand beside the
// same figures of the server.
func (r *Report) Table() []Line {
	baselines := make(map[string]float64)
	for _, s := range r.Sections {
		for _, row := range s.Rows {
			if s.Baseline && row.Measure != "" {
				baselines[row.Measure] = row.Value
			}
		}
	}
	var table []Line
	for _, s := range r.Sections {
		if s.Baseline {
			continue
		}
		for _, row := range s.Rows {
			if row.Measure == "" {
				continue
			}
			l := Line{Measure: row.Measure, Unit: row.Unit, Result: &row.Value, Budget: row.Budget, AtMost: row.AtMost, Met: row.Met(), Command: s.Command}
			if f, ok := baselines[row.Measure]; ok {
				l.Baseline = &f
				l.ratios(f, row.BudgetBaseline)
			}
			table = append(table, l)
		}
		if s.Failed != "" {
			table = append(table, Line{Measure: s.Scenario + ": " + s.About, Failed: s.Failed, Command: s.Command})
		}
	}
	return table
}

func (l *Line) ratios(baseline, budgetBaseline float64) {
	if baseline > 0 {
		l.Ratio = *l.Result / baseline
	}
	if budgetBaseline > 0 {
		l.BudgetRatio = l.Budget / budgetBaseline
	}
}

// metByBaseline reports that the result is as near to its baseline as the budget is to its own.
func (l *Line) metByBaseline() bool {
	if l.AtMost {
		return l.Ratio > 0 && l.Ratio <= l.BudgetRatio
	}
	return l.BudgetRatio > 0 && l.Ratio >= l.BudgetRatio
}

// Cells are the line: result, baseline, result by baseline (budget by its own), budget, and whether it was met.
func (l Line) Cells() (cells [5]string) {
	if cells[0] = "did not finish"; l.Result != nil {
		cells[0] = strings.TrimSpace(Number(*l.Result) + " " + l.Unit)
	}
	if l.Baseline != nil {
		cells[1] = Number(*l.Baseline)
	}
	if l.Ratio > 0 {
		cells[2] = fmt.Sprintf("%.2f", l.Ratio)
	}
	if l.BudgetRatio > 0 {
		cells[2] = strings.TrimSpace(cells[2] + fmt.Sprintf(" (%.2f)", l.BudgetRatio))
	}
	switch {
	case l.Failed != "":
		cells[4] = "NO: " + l.Failed
	case l.Budget != 0:
		cells[3], cells[4] = "≥ "+Number(l.Budget), "NO"
		if l.AtMost {
			cells[3] = "≤ " + Number(l.Budget)
		}
		if l.metByBaseline() {
			cells[4] = "by baseline"
		}
		if l.Met {
			cells[4] = "yes"
		}
	}
	return cells
}

// Markdown is the table, with all that makes it worth something: machine, version, checks, notes and commands.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, RAMEN %s\n\n%s\n\n", r.Began.Format("2006-01-02 15:04 MST"), r.Version, r.Machine)
	b.WriteString("| measure | result | baseline | by baseline | budget | met? |\n| --- | ---: | ---: | ---: | ---: | --- |\n")
	table := r.Table()
	for i := range table {
		c := table[i].Cells()
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", cell(table[i].Measure), c[0], c[1], c[2], c[3], cell(c[4]))
	}
	b.WriteString("\n")
	r.checks(&b)
	b.WriteString("\nThe baseline is a bare server that writes the same bytes and does nothing for them (loadtest/baseline): what this machine costs by itself. " +
		"By baseline is the result divided by it, and in brackets the budget divided by the baseline of the machine it was set on; \"by baseline\" is where the former keeps to the latter, and the budget itself is missed.\n\n")
	r.disturbed(&b)
	for _, s := range r.Sections {
		for _, n := range s.Notes {
			fmt.Fprintf(&b, "- %s%s, %s: %s\n", s.Scenario, s.against(), s.About, n)
		}
	}
	b.WriteString("\nOne scenario alone:\n\n")
	for _, s := range r.Sections {
		if s.Command != "" {
			fmt.Fprintf(&b, "    %s\n", s.Command)
		}
	}
	return b.String()
}

// disturbed says in one line where the machine had something else to do.
func (r *Report) disturbed(b *strings.Builder) {
	n, most, kept, stolen := 0, 0.0, 0, 0.0
	for _, s := range r.Sections {
		if s.Others > mostOthers {
			n++
		}
		if s.Stolen > mostStolen {
			kept++
		}
		most, stolen = max(most, s.Others), max(stolen, s.Stolen)
	}
	if n > 0 {
		fmt.Fprintf(b, "- other processes took up to %.0f %% of a processor, and over %d %% in %d of %d scenarios: CPU times and latencies are worse than they should be\n",
			most, mostOthers, n, len(r.Sections))
	}
	if kept > 0 {
		fmt.Fprintf(b, "- the machine's host kept up to %.1f %% of a processor from it (steal), and over %d %% in %d of %d scenarios: latencies are worse than they should be\n",
			stolen, mostStolen, kept, len(r.Sections))
	}
}

// checks says which promises were kept.
func (r *Report) checks(b *strings.Builder) {
	if r.Violated() == 0 {
		b.WriteString("Every check passed: nothing accepted was lost, doubled or out of order, and no heartbeat was late.\n")
		return
	}
	for _, s := range r.Sections {
		for kind, n := range s.Counts {
			fmt.Fprintf(b, "VIOLATED in %s%s, %s: %s, %d times\n", s.Scenario, s.against(), s.About, kind, n)
		}
		for _, v := range s.Violations[:min(len(s.Violations), mostListed)] {
			fmt.Fprintf(b, "    %s\n", v)
		}
	}
}

// cell keeps a text within its cell.
func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ").Replace(text)
}
