package devices

import (
	"math/rand/v2"
	"time"
)

// Churn is how devices come and go, as phones do.
type Churn struct {
	Life     time.Duration // mean of a stream's life, exponential
	Away     time.Duration // mean of the pause until the next, exponential
	HalfOpen float64       // share of streams that die without closing their connection
	Change   float64       // share of returns over another transport of the mix
}

func (c *Churn) life() int64 { return 1 + int64(rand.ExpFloat64()*float64(c.Life.Microseconds())) }
func (c *Churn) away() int64 { return 1 + int64(rand.ExpFloat64()*float64(c.Away.Microseconds())) }

// depart ends d's stream and plans its return. Called with mu held.
func (s *Shard) depart(d *Device) {
	c := s.churn
	d.gone = 0
	if c == nil {
		return
	}
	d.leave()
	if rand.Float64() < c.HalfOpen {
		s.abandon(d)
	} else {
		d.drop()
	}
	if rand.Float64() < c.Change {
		d.kind = kinds[s.cfg.Mix.pick(rand.IntN(1<<20))]
	}
	d.due = s.now + c.away()
	d.state, d.intended = waiting, d.due
}

// SetChurn makes devices come and go from now on; nil makes them stay.
func (f *Fleet) SetChurn(c *Churn) {
	for _, s := range f.shards {
		s.mu.Lock()
		s.churn, s.now = c, now()
		for _, d := range s.devices {
			d.gone = 0
			if c != nil && d.state == live {
				d.gone = s.now + c.life()
			}
		}
		s.mu.Unlock()
	}
}
