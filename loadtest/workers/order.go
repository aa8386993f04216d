package workers

import (
	"time"

	"ramen/loadtest/devices"
	"ramen/loadtest/expect"
	"ramen/loadtest/publisher"
	"ramen/loadtest/stats"
)

// Verb is what an order asks for.
type Verb string

// The verbs.
const (
	Connect Verb = "connect" // give every device, or a Part, a stream, Rate a second; wait until they are there
	Hold    Verb = "hold"    // do nothing For a time
	Push    Verb = "push"    // publish Rate a second For a time; wait until everything came
	Each    Verb = "each"    // publish Count messages to every user, as fast as it goes
	Cut     Verb = "cut"     // end every stream; they stay away
	Storm   Verb = "storm"   // cut every stream, and back at once, with a message for every user
	Settle  Verb = "settle"  // wait until everything came; what did not is lost
	Quit    Verb = "quit"    // end everything
)

// Order is what workers are to do.
type Order struct {
	Verb  Verb           `json:"verb"`
	Rate  float64        `json:"rate,omitempty"`  // a second, all workers together; 0: as fast as it goes
	For   time.Duration  `json:"for,omitempty"`   // how long
	Count int            `json:"count,omitempty"` // messages a user
	Part  float64        `json:"part,omitempty"`  // Connect: of the devices, the same ones each time; 0: all
	Wait  time.Duration  `json:"wait,omitempty"`  // the most for what has to come, after For
	Churn *devices.Churn `json:"churn,omitempty"` // devices come and go meanwhile
}

// Outcome is what came of an order.
type Outcome struct {
	Devices    devices.Stats         `json:"devices"`
	Feed       publisher.Stats       `json:"feed"`
	Live       int                   `json:"live"`    // streams at the end
	Missing    int                   `json:"missing"` // messages at the end
	Violations []expect.Violation    `json:"violations,omitempty"`
	Counts     map[expect.Kind]int64 `json:"counts,omitempty"`
	Took       time.Duration         `json:"took"` // the slowest worker's
	Self       stats.Usage           `json:"self"` // of the workers, at the end
}

func (o *Outcome) merge(p *Outcome) {
	o.Devices.Merge(&p.Devices)
	o.Feed.Merge(&p.Feed)
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

// Progress is how far a worker has come.
type Progress struct {
	Live     int           `json:"live"`
	Pushes   int64         `json:"pushes"`   // since the order began, as those below
	Accepted int64         `json:"accepted"` //
	Ends     int64         `json:"ends"`     // streams and openings that ended unasked
	Violated int64         `json:"violated"` // promises, since the start
	P50      time.Duration `json:"p50"`      // of the pushes since the last progress, the slowest worker's
	P99      time.Duration `json:"p99"`      //
}
