package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"ramen/loadtest/expect"
	"ramen/loadtest/stats"
)

// Report is all that a run has found.
type Report struct {
	Command  string    `json:"command"`
	Version  string    `json:"version"`
	Machine  string    `json:"machine"`
	Began    time.Time `json:"began"`
	Sections []Section `json:"sections"`
}

// Section is what one scenario has found.
type Section struct {
	Scenario   string                `json:"scenario"`
	About      string                `json:"about"`             // what was done, in a line
	Command    string                `json:"command,omitempty"` // does it again
	Baseline   bool                  `json:"floor,omitempty"`   // it was the baseline server, not RAMEN
	Failed     string                `json:"failed,omitempty"`  // why it did not come to its end
	Rows       []Row                 `json:"rows"`
	Others     float64               `json:"others,omitempty"` // what other processes took meanwhile, percent of a processor
	Stolen     float64               `json:"stolen,omitempty"` // what a virtual machine's host kept from it, percent of a processor
	Notes      []string              `json:"notes,omitempty"`
	Violations []expect.Violation    `json:"violations,omitempty"`
	Counts     map[expect.Kind]int64 `json:"counts,omitempty"`
	Latency    []stats.Window        `json:"latency,omitempty"` // over time
	Bars       []stats.Bar           `json:"bars,omitempty"`    // how latencies are spread
	Pauses     *stats.Hist           `json:"pauses,omitempty"`  // the longest latency of each stream
	Returns    *stats.Hist           `json:"returns,omitempty"` // from the unexpected end of a stream to the next hello
	Server     []stats.Usage         `json:"server,omitempty"`  // over time
	Steps      []Step                `json:"steps,omitempty"`   // of a search
	Drifts     []Drift               `json:"drifts,omitempty"`  // what a long run tells
}

// Row is one figure.
type Row struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Budget float64 `json:"budget,omitempty"` // 0: none
	AtMost bool    `json:"at_most"`          // the budget is an upper bound
	// BudgetBaseline is what the baseline was on the machine for which the budget was set; 0: not known.
	BudgetBaseline float64 `json:"budget_floor,omitempty"`

	Measure string `json:"measure,omitempty"` // its name in the table of a run; empty: it is not there
}

// Step is one step of a search for the most that a server bears.
type Step struct {
	Rate   float64       `json:"rate"`
	P50    time.Duration `json:"p50"`
	P99    time.Duration `json:"p99"`
	CPU    float64       `json:"cpu"`  // µs a message; 0: not known
	Busy   float64       `json:"busy"` // of the load, percent of a processor
	Passed bool          `json:"passed"`
}

// Met reports whether the figure is within its budget.
func (r *Row) Met() bool {
	return r.Budget == 0 || r.AtMost == (r.Value <= r.Budget) || r.Value == r.Budget
}

// Violated is how many promises were not kept.
func (r *Report) Violated() int64 {
	n := int64(0)
	for _, s := range r.Sections {
		for _, k := range s.Counts {
			n += k
		}
	}
	return n
}

// Add adds a figure; what is negative or not a number is not known, and left out.
func (s *Section) Add(name string, value float64, unit string) *Row {
	if !(value >= 0) {
		return new(Row)
	}
	s.Rows = append(s.Rows, Row{Name: name, Value: value, Unit: unit})
	return &s.Rows[len(s.Rows)-1]
}

// AtMostOf says that a figure should be no more than budget.
func (r *Row) AtMostOf(budget float64) *Row {
	r.Budget, r.AtMost = budget, true
	return r
}

// AtLeast says that a figure should be no less than budget.
func (r *Row) AtLeast(budget float64) *Row {
	r.Budget = budget
	return r
}

// Where says what the baseline was where the budget was set.
func (r *Row) Where(baseline float64) { r.BudgetBaseline = baseline }

// AddTimes adds the usual percentiles.
func (s *Section) AddTimes(name string, h *stats.Hist) {
	if h.Count() == 0 {
		return
	}
	for _, p := range []struct {
		name string
		at   time.Duration
	}{{"p50", h.At(50)}, {"p99", h.At(99)}, {"p99.9", h.At(99.9)}, {"max", h.Max()}} {
		s.Add(name+" "+p.name, ms(p.at), "ms")
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// Number is v as a reader wants it: three significant digits, thousands apart.
func Number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	text := strconv.FormatFloat(v, 'f', 0, 64)
	return thousands(text)
}

// Whole is n with its thousands apart.
func Whole(n int64) string { return thousands(strconv.FormatInt(n, 10)) }

func thousands(text string) string {
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// mostOthers is how much of a processor others may take until it is worth a note, percent.
const mostOthers = 15

// mostStolen is how much a virtual machine's host may keep from it likewise: a percent is a second in a hundred, and p99.
const mostStolen = 1

// mostListed is how many violations a table names.
const mostListed = 20

// Text is tables for a terminal.
func (r *Report) Text() string {
	var b strings.Builder
	for i := range r.Sections {
		r.Sections[i].text(&b)
	}
	return b.String()
}

func (s *Section) text(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s%s: %s\n", s.Scenario, s.against(), s.About)
	width := 0
	for _, r := range s.Rows {
		width = max(width, len([]rune(r.Name)))
	}
	for _, r := range s.Rows {
		fmt.Fprintf(b, "  %-*s %12s %s%s\n", width, r.Name, Number(r.Value), r.Unit, r.verdict())
	}
	for _, p := range s.Steps {
		fmt.Fprintf(b, "  step %12s/s  p50 %-10v p99 %-10v %s\n", Number(p.Rate), p.P50.Round(time.Microsecond), p.P99.Round(time.Microsecond), passed(p.Passed))
	}
	for _, d := range s.Drifts {
		fmt.Fprintf(b, "  drift of %s\n", d)
	}
	if s.Others > mostOthers {
		fmt.Fprintf(b, "  note: other processes took %.0f %% of a processor meanwhile: CPU times and latencies are worse than they should be\n", s.Others)
	}
	if s.Stolen > mostStolen {
		fmt.Fprintf(b, "  note: the machine's host kept %.1f %% of a processor from it (steal): latencies are worse than they should be\n", s.Stolen)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
	total := int64(0)
	for kind, n := range s.Counts {
		total += n
		fmt.Fprintf(b, "  VIOLATED %s: %d times\n", kind, n)
	}
	for _, v := range s.Violations[:min(len(s.Violations), mostListed)] {
		fmt.Fprintf(b, "    %s\n", v)
	}
	if s.Failed != "" {
		fmt.Fprintf(b, "  DID NOT FINISH: %s\n", s.Failed)
	} else if total == 0 {
		b.WriteString("  every check passed" + s.missed() + "\n")
	}
}

// missed says how many figures do not meet their budgets. Checks are about promises, and say nothing of them.
func (s *Section) missed() string {
	n := 0
	for i := range s.Rows {
		if s.Rows[i].Budget != 0 && !s.Rows[i].Met() {
			n++
		}
	}
	switch n {
	case 0:
		return ""
	case 1:
		return "; 1 figure does not meet its budget"
	}
	return fmt.Sprintf("; %d figures do not meet their budgets", n)
}

// against says what was measured, where it is not RAMEN.
func (s *Section) against() string {
	if s.Baseline {
		return " (baseline)"
	}
	return ""
}

func passed(ok bool) string {
	if ok {
		return "passed"
	}
	return "failed"
}

func (r *Row) verdict() string {
	if r.Budget == 0 {
		return ""
	}
	sign, word := "≥", "met"
	if r.AtMost {
		sign = "≤"
	}
	if !r.Met() {
		word = "not met"
	}
	return fmt.Sprintf("   (budget %s %s: %s)", sign, Number(r.Budget), word)
}

// WriteFile writes the report to a file, by what.
func (r *Report) WriteFile(name string, what func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("report: write: %w", err)
	}
	if err := what(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("report: write %s: %w", name, err)
	}
	return f.Close()
}

// WriteJSON writes everything for a program.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		*Report
		Table []Line `json:"table,omitempty"`
	}{r, r.Table()})
}
