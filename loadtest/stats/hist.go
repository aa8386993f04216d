package stats

import (
	"encoding/json"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	most   = 10 * 60 * 1e6 // µs
	digits = 3             // significant, in totals
)

// Hist is a histogram of times. The zero value is empty and ready.
type Hist struct{ h *hdrhistogram.Histogram }

// Record adds one time in microseconds.
func (h *Hist) Record(us int64) {
	if h.h == nil {
		h.h = hdrhistogram.New(1, most, digits)
	}
	_ = h.h.RecordValue(min(max(us, 1), most)) // within its range
}

// Merge adds what o has.
func (h *Hist) Merge(o *Hist) {
	if o.h == nil {
		return
	}
	if h.h == nil {
		h.h = hdrhistogram.New(1, most, digits)
	}
	h.h.Merge(o.h)
}

// Reset empties it.
func (h *Hist) Reset() {
	if h.h != nil {
		h.h.Reset()
	}
}

// Count is how many times were recorded.
func (h *Hist) Count() int64 {
	if h.h == nil {
		return 0
	}
	return h.h.TotalCount()
}

// At is the time that p percent of all do not exceed.
func (h *Hist) At(p float64) time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.ValueAtPercentile(p)) * time.Microsecond
}

// Max is the longest time, to within the histogram's precision.
func (h *Hist) Max() time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.Max()) * time.Microsecond
}

// Mean is the mean.
func (h *Hist) Mean() time.Duration {
	if h.h == nil {
		return 0
	}
	return time.Duration(h.h.Mean() * float64(time.Microsecond))
}

// Between is how many times lie over from, and up to to.
func (h *Hist) Between(from, to time.Duration) (n int64) {
	if h.h == nil {
		return 0
	}
	for _, b := range h.h.Distribution() {
		if at := time.Duration(b.From) * time.Microsecond; at > from && at <= to {
			n += b.Count
		}
	}
	return n
}

// Bar is how many times lie from From to To, microseconds.
type Bar struct{ From, To, Count int64 }

// Bars are the histogram in logarithmic steps, perOctave to each doubling; empty ones at both ends are left out.
func (h *Hist) Bars() []Bar {
	var bars []Bar
	if h.h == nil {
		return nil
	}
	from := int64(1)
	for _, b := range h.h.Distribution() {
		for b.From >= next(from) {
			if from = next(from); len(bars) > 0 {
				bars = append(bars, Bar{From: from, To: next(from)})
			}
		}
		if b.Count == 0 {
			continue
		}
		if len(bars) == 0 {
			bars = append(bars, Bar{From: from, To: next(from)})
		}
		bars[len(bars)-1].Count += b.Count
	}
	for len(bars) > 0 && bars[len(bars)-1].Count == 0 {
		bars = bars[:len(bars)-1]
	}
	return bars
}

// next is the bound behind from: steps of about a quarter.
func next(from int64) int64 { return max(from+1, from*5/4) }

// MarshalJSON is the histogram's compressed form in base64.
func (h Hist) MarshalJSON() ([]byte, error) {
	if h.h == nil {
		return []byte(`""`), nil
	}
	b, err := h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, err
	}
	return json.Marshal(string(b))
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (h *Hist) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil || text == "" {
		return err
	}
	var err error
	h.h, err = hdrhistogram.Decode([]byte(text))
	return err
}
