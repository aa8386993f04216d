package slow

import (
	"errors"
	"fmt"
	"time"
)

// Config is how slow the link is.
type Config struct {
	RateKbit   int           `yaml:"rate_kbit" unit:"kbit/s" doc:"Rate in each direction, IP packets counted whole, from 8."`
	RTT        time.Duration `yaml:"rtt" doc:"Round trip of an empty link; each direction has half of it."`
	QueueBytes int           `yaml:"queue_bytes" unit:"bytes" doc:"Room of the queue before the link, in each direction: what comes when it is full is dropped."`
	Loss       float64       `yaml:"loss" unit:"percent" doc:"Packets that are dropped at random, in each direction."`
	Seed       uint64        `yaml:"seed" doc:"Of the random drops."`
}

// Default is a mobile network at the edge of its reach: 1 Mbit/s, 100 ms, and a queue of two bandwidth-delay products.
func Default() Config {
	return Config{RateKbit: 1000, RTT: 100 * time.Millisecond, QueueBytes: 25_000, Seed: 1}
}

// mtu is the largest packet, in bytes; a queue must hold at least two, or TCP never gets going.
const mtu = 1500

// Validate says what is wrong with c, all of it.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("slow: check configuration: "+format, args...))
		}
	}
	check(c.RateKbit >= 8 && c.RateKbit <= 1_000_000, "rate_kbit is %d: use 8 to 1000000", c.RateKbit)
	check(c.RTT >= 0 && c.RTT <= 10*time.Second, "rtt is %v: use 0 to 10s", c.RTT)
	check(c.QueueBytes >= 2*mtu && c.QueueBytes <= 64<<20, "queue_bytes is %d: use %d, two packets, to 64 MiB", c.QueueBytes, 2*mtu)
	check(c.Loss >= 0 && c.Loss <= 50, "loss is %v percent: use 0 to 50", c.Loss)
	return errors.Join(errs...)
}

// String says how slow the link is.
func (c Config) String() string {
	s := fmt.Sprintf("%d kbit/s, %v round trip, %d bytes of queue", c.RateKbit, c.RTT, c.QueueBytes)
	if c.Loss > 0 {
		s += fmt.Sprintf(", %v %% lost", c.Loss)
	}
	return s
}

// Stats is what one direction of a link has done.
type Stats struct {
	Packets, Bytes   int64         // let through
	Dropped          int64         // for want of room
	Lost             int64         // at random, or because the link was cut
	MostQueued       int           // bytes
	LongestInTheLink time.Duration // a packet's wait in the queue, beyond the delay
}
