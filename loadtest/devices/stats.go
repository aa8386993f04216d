package devices

import "ramen/loadtest/stats"

// Stats is what devices have seen since the last Take.
type Stats struct {
	Opened  int64 `json:"opened"`  // hellos
	Beats   int64 `json:"beats"`   // heartbeats; on wired SSE streams they are not counted
	Pushes  int64 `json:"pushes"`  // all of them
	New     int64 `json:"new"`     // that came for the first time
	Again   int64 `json:"again"`   // that came before
	Foreign int64 `json:"foreign"` // from no publisher of this run
	Acks    int64 `json:"acks"`
	Moved   int64 `json:"moved"` // streams opened beside the old one because of a goaway
	Bytes   int64 `json:"bytes"` // read on light streams

	Ends map[string]int64 `json:"ends"` // streams and openings that ended unexpectedly, by cause

	Open    stats.Hist     `json:"open"`    // from when an opening was due to its hello
	Latency stats.Hist     `json:"latency"` // from when a message was due to its push
	Gap     stats.Hist     `json:"gap"`     // between bytes, where over half a heartbeat's interval
	Back    stats.Hist     `json:"back"`    // from a cut to a live stream with a message
	Return  stats.Hist     `json:"return"`  // from the unexpected end of a stream to the next hello, the backoff included
	Worst   stats.Hist     `json:"worst"`   // of each device that got something: its longest Latency
	Turn    stats.Hist     `json:"turn"`    // how long one turn of the event loop took: what comes meanwhile waits as long
	Over    *stats.Windows `json:"over"`    // Latency over time; nil: not asked for
}

// Merge adds what o has.
func (s *Stats) Merge(o *Stats) {
	s.Opened += o.Opened
	s.Beats += o.Beats
	s.Pushes += o.Pushes
	s.New += o.New
	s.Again += o.Again
	s.Foreign += o.Foreign
	s.Acks += o.Acks
	s.Bytes += o.Bytes
	s.Moved += o.Moved
	for why, n := range o.Ends {
		s.end(why, n)
	}
	s.Open.Merge(&o.Open)
	s.Latency.Merge(&o.Latency)
	s.Gap.Merge(&o.Gap)
	s.Back.Merge(&o.Back)
	s.Return.Merge(&o.Return)
	s.Worst.Merge(&o.Worst)
	s.Turn.Merge(&o.Turn)
	if o.Over != nil {
		if s.Over == nil {
			s.Over = new(stats.Windows)
		}
		s.Over.Merge(o.Over)
	}
}

func (s *Stats) end(why string, n int64) {
	if s.Ends == nil {
		s.Ends = make(map[string]int64)
	}
	s.Ends[why] += n
}
