package publisher

import (
	"ramen/loadtest/stats"
)

// Stats is the outcome of an order's messages.
type Stats struct {
	Due      int64            `json:"due"`      // until the end
	Sent     int64            `json:"sent"`     // what is due and not sent was late
	Accepted int64            `json:"accepted"` // duplicates included
	Refused  map[string]int64 `json:"refused"`  // by the code
	Unknown  int64            `json:"unknown"`  // no answer came to any attempt
	Retried  int64            `json:"retried"`  // publishes that were tried again, under the same id
	Late     stats.Hist       `json:"late"`     // from when a message was due to when it was sent: this process's own delay
	Answer   stats.Hist       `json:"answer"`   // from when a message was due to its accepted
}

// Merge adds what o has.
func (s *Stats) Merge(o *Stats) {
	s.Due += o.Due
	s.Sent += o.Sent
	s.Accepted += o.Accepted
	s.Unknown += o.Unknown
	s.Retried += o.Retried
	s.Late.Merge(&o.Late)
	for code, n := range o.Refused {
		s.refuse(code, n)
	}
	s.Answer.Merge(&o.Answer)
}

func (s *Stats) refuse(code string, n int64) {
	if s.Refused == nil {
		s.Refused = make(map[string]int64)
	}
	s.Refused[code] += n
}
