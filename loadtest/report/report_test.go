package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"math"
	"strings"
	"testing"
	"time"

	"ramen/loadtest/check"
	"ramen/loadtest/gauge"
)

func sample() *Report {
	s := Section{Scenario: "push", About: "a <few> messages", Notes: []string{"a & b"}}
	s.Add("CPU a message", 12.345, "µs").AtMostOf(20)
	s.Add("most messages a second", 45678, "/s").AtLeast(60000)
	s.Add("not known", math.NaN(), "µs").AtMostOf(1)
	for i := range 5 {
		s.Latency = append(s.Latency, gauge.Window{Start: time.Duration(i) * time.Second, Count: 10, P50: 1e6, P99: 2e6, Max: 3e6})
		s.Server = append(s.Server, gauge.Usage{At: time.Unix(int64(i), 0), CPU: time.Duration(i) * 1e8, RSS: 1e8, Files: 12})
		s.Bars = append(s.Bars, gauge.Bar{From: int64(i), To: int64(i) + 1, Count: int64(i)})
	}
	s.Violations = []check.Violation{{Kind: check.Lost, User: "u1", Device: "d1", ID: "<id>", Detail: "gone"}}
	s.Counts = map[check.Kind]int64{check.Lost: 3}
	return &Report{Command: "ramen load push", Sections: []Section{s}}
}

func TestTextHasFiguresVerdictsAndViolations(t *testing.T) {
	text := sample().Text()
	for _, want := range []string{"12.3 µs", "budget ≤ 20.0: met", "45,678 /s", "budget ≥ 60,000: MISSED", "VIOLATED lost: 3 times", "user u1 device d1 id <id>"} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "not known") {
		t.Error("it shows a figure that is not known")
	}
	if n := sample().Violated(); n != 3 {
		t.Errorf("%d violated", n)
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
