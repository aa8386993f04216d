package main

import (
	"github.com/spf13/pflag"

	"ramen/loadtest/scenario"
)

// bindSlow is what ramen load slow alone has.
func bindSlow(fl *pflag.FlagSet, p *scenario.Params) {
	fl.IntVar(&p.Link.RateKbit, "rate-kbit", 0, "rate of the link in each direction, kbit/s (default 1000)")
	fl.DurationVar(&p.Link.RTT, "rtt", 0, "round trip of the empty link (default 100ms)")
	fl.IntVar(&p.Link.QueueBytes, "queue-bytes", 0, "queue in front of the link in each direction, in bytes; packets beyond it are dropped (default 25000)")
	fl.Float64Var(&p.Link.Loss, "loss", 0, "packets lost at random in each direction, percent")
	fl.Uint64Var(&p.Link.Seed, "loss-seed", 0, "seed of the random losses (default 1)")
	fl.IntVar(&p.Pending, "pending", 0, "bytes of low priority messages that are kept waiting (default 1048576)")
}
