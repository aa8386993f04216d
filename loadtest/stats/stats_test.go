package stats

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

func TestHistSurvivesTheWire(t *testing.T) {
	var a, b, sum Hist
	for i := range int64(1000) {
		a.Record(i)
		b.Record(i * 1000)
	}
	for _, h := range []*Hist{&a, &b} {
		text, err := json.Marshal(h)
		if err != nil {
			t.Fatal(err)
		}
		var got Hist
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.At(99) != h.At(99) || got.Count() != h.Count() {
			t.Errorf("p99 %v of %d, not %v of %d", got.At(99), got.Count(), h.At(99), h.Count())
		}
		sum.Merge(&got)
	}
	if sum.Count() != 2000 {
		t.Errorf("%d times after the merge", sum.Count())
	}
	total := int64(0)
	for i, bar := range sum.Bars() {
		if total += bar.Count; i > 0 && bar.From != sum.Bars()[i-1].To {
			t.Errorf("a gap before %d", bar.From)
		}
	}
	if total != 2000 {
		t.Errorf("the bars have %d of 2000", total)
	}
}

func TestBeyondTheRangeCountsAsItsBound(t *testing.T) {
	var h Hist
	h.Record(-5)
	h.Record(1 << 50)
	if h.Count() != 2 || h.Max() < 10*time.Minute {
		t.Errorf("%d times up to %v", h.Count(), h.Max())
	}
}

func TestWindowsSplitByTime(t *testing.T) {
	w := NewWindows(5_000_000, 10*time.Second)
	w.Record(5_000_001, 10)
	w.Record(7_500_000, 20)
	list := w.List()
	if len(list) != 3 || list[0].Count != 1 || list[1].Count != 0 || list[2].Start != 2*time.Second {
		t.Errorf("%+v", list)
	}
}

func TestOwnProcessUsesSomething(t *testing.T) {
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		t.Skip("no /proc here")
	}
	u, err := OfProcess(os.Getpid())
	if err != nil || u.RSS == 0 || u.Threads == 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestScrapeReadsGoServers(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP x\nprocess_cpu_seconds_total 1.5\ngo_goroutines 12\nprocess_resident_memory_bytes 1.5e+07\n"))
	}))
	defer s.Close()
	u, err := Scrape(t.Context(), s.Client(), s.URL)
	if err != nil || u.CPU != 1500*time.Millisecond || u.Goroutines != 12 || u.RSS != 15_000_000 {
		t.Errorf("%+v, %v", u, err)
	}
}
