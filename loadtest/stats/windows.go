package stats

import "time"

// Window is what happened in one stretch of time.
type Window struct {
	Start    time.Duration `json:"start"` // since the begin of the measurement
	Count    int64         `json:"count"`
	P50, P99 time.Duration
	Max      time.Duration
}

// Windows splits times by when they were recorded. A Windows has one owner; the zero value is not ready.
type Windows struct {
	Width int64   `json:"width"` // µs
	From  int64   `json:"from"`  // µs, the clock's
	Hists []*Hist `json:"hists"`
}

// mostWindows bounds a measurement; later times count in the last one.
const mostWindows = 400

// NewWindows begins at from (µs) and is made for about total: windows of a second, or longer ones.
func NewWindows(from int64, total time.Duration) *Windows {
	width := max(time.Second, (total / mostWindows * 2).Truncate(time.Second)).Microseconds()
	return &Windows{Width: width, From: from}
}

// Record adds one time at now (µs).
func (w *Windows) Record(now, us int64) {
	i := int(min(max((now-w.From)/w.Width, 0), mostWindows-1))
	for len(w.Hists) <= i {
		w.Hists = append(w.Hists, new(Hist))
	}
	w.Hists[i].Record(us)
}

// Merge adds the windows of another process, which began at about the same moment.
func (w *Windows) Merge(o *Windows) {
	if o == nil {
		return
	}
	if w.Width == 0 {
		w.Width, w.From = o.Width, o.From
	}
	for i, h := range o.Hists {
		if i == len(w.Hists) {
			w.Hists = append(w.Hists, new(Hist))
		}
		w.Hists[i].Merge(h)
	}
}

// List is the windows' percentiles.
func (w *Windows) List() []Window {
	list := make([]Window, len(w.Hists))
	for i, h := range w.Hists {
		list[i] = Window{time.Duration(int64(i)*w.Width) * time.Microsecond, h.Count(), h.At(50), h.At(99), h.Max()}
	}
	return list
}
