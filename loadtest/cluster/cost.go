package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"ramen/internal/testserver"
	"ramen/loadtest/machine"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// cost measures what a message takes in one process and in a cluster, in turn.
func cost(ctx context.Context, c *config) error {
	p := scenario.Params{Scenario: "push", Transport: "ws", Streams: or(c.Streams, 5000), Rate: or(c.Rate, 10000), For: or(c.For, 8*time.Second), Warm: 2 * time.Second}
	kinds := []string{"one", "cluster"}
	binaries := []string{c.Binary}
	if c.Other != "" {
		binaries = append(binaries, c.Other)
	}
	found := make(map[string][]report.Section)
	for run := range c.Runs {
		for _, binary := range binaries {
			for _, kind := range kinds {
				what := kind + " of " + binary
				s, err := c.costOnce(ctx, kind == "cluster", binary, fmt.Sprintf("%s, run %d", what, run+1), p)
				if err != nil {
					return err
				}
				found[what] = append(found[what], s)
			}
		}
	}
	fmt.Fprintf(c.out, "\nCPU a message at %s/s, µs, %d runs each: median (each)\n", report.Number(p.Rate), c.Runs)
	for _, binary := range binaries {
		one, both := found["one of "+binary], found["cluster of "+binary]
		a, b := valuesOf(one, "CPU a message, publish to ack"), valuesOf(both, "CPU a message, publish to ack")
		fmt.Fprintf(c.out, "| %s | %s | %s: frontend %s; gateway %s; controller %s | %.2f |\n", binary, listed(a), listed(b),
			listed(valuesOf(both, "CPU a message, process 1")), listed(valuesOf(both, "CPU a message, process 2")), listed(valuesOf(both, "CPU a message, process 3")), median(b)/median(a))
	}
	return nil
}

// costOnce measures one of them once, on a store of its own.
func (c *config) costOnce(ctx context.Context, cluster bool, binary, what string, p scenario.Params) (report.Section, error) {
	return c.alone(func(t *testserver.Program) (report.Section, error) {
		store, err := c.redis(t, true)
		if err != nil {
			return report.Section{}, err
		}
		if !cluster {
			return c.play(ctx, what, c.one(binary, store), p)
		}
		s, err := c.start(t, binary, store, 1, 1, true)
		if err != nil {
			return report.Section{}, err
		}
		cfg := s.load(true)
		from := s.countLinks(ctx, &cfg)
		out, err := scenario.Run(ctx, cfg, p)
		if p.Scenario == "push" {
			s.addLinks(ctx, &out, from)
		}
		return out, c.told(what, &out, err)
	})
}

// one is the load's way to one process, which the scenario starts.
func (c *config) one(binary, store string) scenario.Config {
	ours, load := c.halves()
	return scenario.Config{Binary: c.Binary, LoadOn: load, Serve: &machine.ServerConfig{Binary: binary, Dir: c.Dir, Processors: ours, Store: store}}
}

// alone does something with processes that end with it.
func (c *config) alone(do func(t *testserver.Program) (report.Section, error)) (s report.Section, err error) {
	t := testserver.NewProgram("cluster", c.out)
	defer func() {
		if closed := t.Close(); err == nil {
			err = closed
		}
	}()
	return do(t)
}

// memory measures what an idle stream takes in one process and in a cluster.
func memory(ctx context.Context, c *config) error {
	p := scenario.Params{Scenario: "idle", Transport: "ws", Streams: or(c.Streams, 15000), For: or(c.For, 24*time.Second)}
	for _, cluster := range []bool{false, true} {
		what := map[bool]string{false: "one process", true: "cluster"}[cluster]
		if _, err := c.costOnce(ctx, cluster, c.Binary, what, p); err != nil {
			return err
		}
	}
	return nil
}

func valuesOf(sections []report.Section, name string) (all []float64) {
	for i := range sections {
		all = append(all, value(&sections[i], name))
	}
	return all
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(v))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func listed(v []float64) string {
	parts := make([]string, len(v))
	for i, x := range v {
		parts[i] = report.Number(x)
	}
	return fmt.Sprintf("%s (%s)", report.Number(median(v)), strings.Join(parts, ", "))
}
