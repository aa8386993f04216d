package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"ramen/loadtest/expect"
	"ramen/loadtest/stats"
)

func sample() *Report {
	s := Section{Scenario: "push", About: "a <few> messages", Notes: []string{"a & b"}}
	s.Add("CPU a message", 12.345, "µs").AtMostOf(20)
	s.Add("most messages a second", 45678, "/s").AtLeast(60000)
	s.Add("not known", math.NaN(), "µs").AtMostOf(1)
	for i := range 5 {
		s.Latency = append(s.Latency, stats.Window{Start: time.Duration(i) * time.Second, Count: 10, P50: 1e6, P99: 2e6, Max: 3e6})
		s.Server = append(s.Server, stats.Usage{At: time.Unix(int64(i), 0), CPU: time.Duration(i) * 1e8, RSS: 1e8, Files: 12})
		s.Bars = append(s.Bars, stats.Bar{From: int64(i), To: int64(i) + 1, Count: int64(i)})
	}
	s.Violations = []expect.Violation{{Kind: expect.Lost, User: "u1", Device: "d1", ID: "<id>", Detail: "gone"}}
	s.Counts = map[expect.Kind]int64{expect.Lost: 3}
	return &Report{Command: "ramen load push", Sections: []Section{s}}
}

func TestFix13TextHasFiguresVerdictsAndViolations(t *testing.T) {
	text := sample().Text()
	for _, want := range []string{"12.3 µs", "budget ≤ 20.0: met", "45,678 /s", "budget ≥ 60,000: not met", "VIOLATED lost: 3 times", "user u1 device d1 id <id>"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "not known") {
		t.Error("it shows a figure that is not known")
	}
	if strings.Contains(text, "every check passed") {
		t.Error("a check that failed passed")
	}
	r := sample()
	r.Sections[0].Violations, r.Sections[0].Counts = nil, nil
	if text := r.Text(); !strings.Contains(text, "every check passed; 1 figure does not meet its budget") {
		t.Errorf("the verdict hides a budget that is not met:\n%s", text)
	}
	if n := sample().Violated(); n != 3 {
		t.Errorf("%d violated", n)
	}
}

func TestTableHasBaselinesBudgetsAndFailures(t *testing.T) {
	r := sample()
	r.Sections[0].Rows[0].Measure, r.Sections[0].Rows[1].Measure, r.Sections[0].Command = "CPU | message", "most", "ramen load push"
	baseline := Section{Scenario: "push", Baseline: true}
	baseline.Add("CPU a message", 9.5, "µs").Measure = "CPU | message"
	r.Sections = append([]Section{baseline}, append(r.Sections, Section{Scenario: "storm", About: "it", Failed: "no server"})...)
	text := r.Markdown()
	for _, want := range []string{
		`| CPU \| message | 12.3 µs | 9.50 | 1.30 | ≤ 20.0 | yes |`, "| most | 45,678 /s |  |  | ≥ 60,000 | NO |", "| storm: it | did not finish |  |  |  | NO: no server |",
		"VIOLATED in push, a <few> messages: lost, 3 times", "    ramen load push\n", "a & b",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in:\n%s", want, text)
		}
	}
}

func TestBudgetThatTheBaselineKeepsFromBeingMet(t *testing.T) {
	for _, c := range []struct {
		result, baseline, budget, budgetBaseline float64
		atMost                                   bool
		want                                     string
	}{
		{30, 20, 20, 10, true, "1.50 (2.00) | ≤ 20.0 | by baseline"},
		{50, 20, 20, 10, true, "2.50 (2.00) | ≤ 20.0 | NO"},
		{15, 5, 20, 10, true, "3.00 (2.00) | ≤ 20.0 | yes"},
		{30, 20, 20, 0, true, "1.50 | ≤ 20.0 | NO"},
		{30, 0, 20, 10, true, "(2.00) | ≤ 20.0 | NO"},
		{50, 80, 60, 160, false, "0.62 (0.38) | ≥ 60.0 | by baseline"},
		{20, 80, 60, 160, false, "0.25 (0.38) | ≥ 60.0 | NO"},
		{30, 80, 60, 160, false, "0.38 (0.38) | ≥ 60.0 | by baseline"},
	} {
		baseline := Section{Baseline: true}
		baseline.Add("it", c.baseline, "").Measure = "it"
		s := Section{}
		r := s.Add("it", c.result, "")
		r.Measure = "it"
		if c.atMost {
			r.AtMostOf(c.budget).Where(c.budgetBaseline)
		} else {
			r.AtLeast(c.budget).Where(c.budgetBaseline)
		}
		text := (&Report{Sections: []Section{baseline, s}}).Markdown()
		if !strings.Contains(text, c.want) {
			t.Errorf("there is no %q in:\n%s", c.want, text)
		}
	}
}

func series(n int, value func(i int) float64) []Moment {
	var all []Moment
	for i := range n {
		all = append(all, Moment{time.Unix(int64(i), 0), value(i)})
	}
	return all
}

func TestDriftIsToldFromNoise(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	draw := rand.New(rand.NewPCG(seed, 1))
	for name, c := range map[string]struct {
		grows bool
		value func(i int) float64
	}{
		"flat":            {false, func(int) float64 { return 100 }},
		"noise":           {false, func(int) float64 { return 100 + 20*draw.Float64() }},
		"saw":             {false, func(i int) float64 { return 100 + float64(i%30) }},
		"shrinks":         {false, func(i int) float64 { return 100 - 0.1*float64(i) }},
		"outliers":        {false, func(i int) float64 { return 100 + float64(i%50/49*500) }},
		"leak":            {true, func(i int) float64 { return 100 + 0.1*float64(i) }},
		"leak with noise": {true, func(i int) float64 { return 100 + 0.2*float64(i) + 5*draw.Float64() }},
		"leak with saw":   {true, func(i int) float64 { return 100 + 0.2*float64(i) + float64(i%20) }},
	} {
		d, ok := NewDrift(name, "MB", 4, series(600, c.value))
		if !ok || d.Grows != c.grows {
			t.Errorf("%v, seed %d", d, seed)
		}
	}
	if _, ok := NewDrift("short", "MB", 4, series(5, func(int) float64 { return 1 })); ok {
		t.Error("five moments are judged")
	}
}

func TestPageIsWholeAndLoadsNothing(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if n := strings.Count(text, "<svg"); n != 6 {
		t.Errorf("%d plots, not 6", n)
	}
	for _, bad := range []string{"http://", "https://", "src=", "<script", "@import", "<few>", "<id>", "ZgotmplZ", "NaN", "Inf"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	for _, svg := range strings.SplitAfter(text, "</svg>") {
		if i := strings.Index(svg, "<svg"); i >= 0 {
			if err := xml.Unmarshal([]byte(svg[i:]), new(struct{})); err != nil {
				t.Errorf("a plot is no XML: %v", err)
			}
		}
	}
}

func TestJSONHasEverything(t *testing.T) {
	var b bytes.Buffer
	if err := sample().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got.Sections) != 1 || len(got.Sections[0].Rows) != 2 || len(got.Sections[0].Server) != 5 {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestNumbersAreReadable(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1.234: "1.23", 12.34: "12.3", 999.6: "1,000", 1234567: "1,234,567"} {
		if got := Number(v); got != want {
			t.Errorf("%v is %s, not %s", v, got, want)
		}
	}
}

func TestLatencyChartHasALineASecond(t *testing.T) {
	s := Section{Latency: []stats.Window{
		{Start: 0, Count: 1500, P50: time.Millisecond, P99: time.Millisecond},
		{Start: time.Second, Count: 2, P50: 2 * time.Millisecond, P99: 100 * time.Millisecond},
		{Start: 2 * time.Second},
		{Start: 3 * time.Second, Count: 1500, P50: time.Millisecond, P99: 10 * time.Millisecond},
	}}
	lines := strings.Split(strings.TrimSpace(s.LatencyChart()), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines:\n%s", len(lines), s.LatencyChart())
	}
	for i, want := range []int{1, chartWide, 0, chartWide/2 + 1} {
		if got := strings.Count(lines[i+1], "█"); got < want-1 || got > want+1 || (want < 2 && got != want) {
			t.Errorf("%d characters, not %d: %s", got, want, lines[i+1])
		}
	}
	if !strings.Contains(lines[1], "1,500") || !strings.Contains(lines[2], "100") {
		t.Error(s.LatencyChart())
	}
	if got := (&Section{}).LatencyChart(); got != "" {
		t.Error(got)
	}
}
