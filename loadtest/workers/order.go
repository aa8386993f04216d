package workers

import (
	"time"

	"ramen/loadtest/devices"
	"ramen/loadtest/expect"
	"ramen/loadtest/publisher"
	"ramen/loadtest/stats"
)

// Verb is what an order tells workers to do.
type Verb string

// The verbs.
const (
	Connect Verb = "connect" // give every device, or a Part, a stream, Rate a second; wait until they are open
	Hold    Verb = "hold"    // wait For a time
	Push    Verb = "push"    // publish Rate a second For a time; wait until everything has come
	Each    Verb = "each"    // publish Count messages to every user, as fast as it goes
	Cut     Verb = "cut"     // cut every stream; devices stay away
	Storm   Verb = "storm"   // cut every stream; devices come back at once, and every user gets a message
	Verify  Verb = "verify"  // wait until everything has come; report the rest as lost
	Quit    Verb = "quit"    // end the worker
)

// Order is one instruction to all workers.
type Order struct {
	Verb  Verb           `json:"verb"`
	Rate  float64        `json:"rate,omitempty"`  // a second, all workers together; 0: as fast as it goes
	For   time.Duration  `json:"for,omitempty"`   // duration
	Count int            `json:"count,omitempty"` // messages a user
	Part  float64        `json:"part,omitempty"`  // Connect: share of the devices, the same ones each time; 0: all
	Wait  time.Duration  `json:"wait,omitempty"`  // the longest wait for what has to come, after For
	Churn *devices.Churn `json:"churn,omitempty"` // devices come and go meanwhile
}

// Outcome is the result of an order.
type Outcome struct {
	Devices    devices.Stats         `json:"devices"`
	Published  publisher.Stats       `json:"published"`
	Live       int                   `json:"live"`    // streams at the end
	Missing    int                   `json:"missing"` // messages at the end
	Violations []expect.Violation    `json:"violations,omitempty"`
	Counts     map[expect.Kind]int64 `json:"counts,omitempty"`
	Took       time.Duration         `json:"took"` // the slowest worker's
	Self       stats.Usage           `json:"self"` // of the workers, at the end
}

func (o *Outcome) merge(p *Outcome) {
	o.Devices.Merge(&p.Devices)
	o.Published.Merge(&p.Published)
	o.Live += p.Live
	o.Missing += p.Missing
	o.Violations = append(o.Violations, p.Violations...)
	if o.Counts == nil {
		o.Counts = make(map[expect.Kind]int64)
	}
	for k, n := range p.Counts {
		o.Counts[k] += n
	}
	o.Took = max(o.Took, p.Took)
	o.Self.CPU += p.Self.CPU
	o.Self.RSS += p.Self.RSS
	o.Self.Files += p.Self.Files
}

// Progress is the state of a worker while an order runs.
type Progress struct {
	Live     int           `json:"live"`
	Pushes   int64         `json:"pushes"`   // since the order began, as are the next two
	Accepted int64         `json:"accepted"` //
	Ends     int64         `json:"ends"`     // streams and openings that ended unexpectedly
	Violated int64         `json:"violated"` // promises not kept, since the start
	P50      time.Duration `json:"p50"`      // of the pushes since the last progress, the slowest worker's
	P99      time.Duration `json:"p99"`      //
}
