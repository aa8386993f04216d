package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ramen/loadtest/machine"
)

// config is what is measured.
type config struct {
	Binary, Other string // Other: with cost, measured in turn with Binary; empty: none
	Dir           string
	Only          []string
	Rate          float64 // messages a second
	For           time.Duration
	Runs          int
	Streams       int
	Frontends     int
	Gateways      int

	out        io.Writer
	processors []int // of this machine, before anything was bound
}

// part is something that can be measured.
type part struct {
	name string
	do   func(context.Context, *config) error
}

// parts are in the order in which they are measured.
var parts = []part{
	{"cost", cost}, {"memory", memory}, {"many", many}, {"killed", killed}, {"drained", drained}, {"moved", moved}, {"frontend", frontend},
}

func main() {
	c := config{out: os.Stdout, processors: machine.Processors()}
	only := flag.String("only", "", "what to measure, with commas between; all where it is empty")
	flag.StringVar(&c.Binary, "binary", "bin/ramen", "the ramen to measure")
	flag.StringVar(&c.Other, "other", "", "cost: another ramen, measured in turn with the first")
	flag.StringVar(&c.Dir, "dir", ".", "where a single process keeps its data, in a new folder; a disk")
	flag.Float64Var(&c.Rate, "rate", 0, "messages a second; 0: what the part has by default")
	flag.DurationVar(&c.For, "for", 0, "how long to measure; 0: what the part has by default")
	flag.IntVar(&c.Runs, "runs", 3, "cost: how often each is measured")
	flag.IntVar(&c.Streams, "streams", 0, "streams; 0: what the part has by default")
	flag.IntVar(&c.Frontends, "frontends", 0, "frontends; 0: what the part has by default")
	flag.IntVar(&c.Gateways, "gateways", 0, "gateways; 0: what the part has by default")
	flag.Parse()
	if *only != "" {
		c.Only = strings.Split(*only, ",")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, c *config) error {
	for _, name := range c.Only {
		if !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("cluster: there is no part %q", name)
		}
	}
	for _, path := range []*string{&c.Binary, &c.Other} {
		if *path == "" {
			continue
		}
		full, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
		*path = full
	}
	machine.Descriptors()
	var errs []error
	for _, p := range parts {
		if len(c.Only) > 0 && !slices.Contains(c.Only, p.name) {
			continue
		}
		if err := p.do(ctx, c); err != nil {
			errs = append(errs, fmt.Errorf("cluster: %s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}
