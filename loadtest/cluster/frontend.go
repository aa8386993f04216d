package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/internal/localcluster"
	"ramen/internal/testserver"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
	"ramen/loadtest/stats"
)

// sampled is how long before and after a frontend's end the others are looked at.
const sampled = 8 * time.Second

// frontend kills one of seven frontends with 15,000 streams each, while every stream gets a message every ten seconds.
func frontend(ctx context.Context, c *config) error {
	streams := or(c.Streams, 105_000)
	_, err := c.alone(func(t *testserver.Program) (report.Section, error) {
		store, err := c.redis(t, false)
		if err != nil {
			return report.Section{}, err
		}
		s, err := c.start(t, c.Binary, store, or(c.Frontends, 7), or(c.Gateways, 2), false)
		if err != nil {
			return report.Section{}, err
		}
		p := scenario.Params{Scenario: "push", Transport: "ws", Streams: streams, Rate: or(c.Rate, float64(streams)/10), For: or(c.For, 40*time.Second), Connects: 2000,
			Warm: 5 * time.Second, Slack: busySlack, Wait: 2 * time.Minute}
		cfg := s.load(false)
		last := len(s.Members(localcluster.Frontend)) - 1
		victim := s.Members(localcluster.Frontend)[last]
		cfg.PIDs = append(append([]int(nil), s.pids[:last]...), s.pids[last+1:]...) // those that stay
		var cpu [3]stats.Usage
		done := s.when(t, &cfg, before, func() {
			var errs [3]error
			cpu[0], errs[0] = stats.OfProcesses(cfg.PIDs)
			time.Sleep(sampled)
			cpu[1], errs[1] = stats.OfProcesses(cfg.PIDs)
			victim.Kill(t)
			time.Sleep(sampled)
			cpu[2], errs[2] = stats.OfProcesses(cfg.PIDs)
			if err := errors.Join(errs[:]...); err != nil {
				t.Fatalf("%v", err)
			}
		})
		found, err := c.play(ctx, "a frontend is killed", cfg, p)
		if err = errors.Join(err, <-done); err != nil {
			return found, err
		}
		c.spread("from a stream's end to the next hello", found.Returns)
		c.spread("the longest publish to push of each stream", found.Pauses)
		quiet, busy := cpu[1].CPU-cpu[0].CPU, cpu[2].CPU-cpu[1].CPU
		fmt.Fprintf(c.out, "CPU of those that stay: %v in the %v before, %v in the %v after: %.0f µs for each stream that came back\n",
			quiet.Round(time.Millisecond), sampled, busy.Round(time.Millisecond), sampled, float64((busy-quiet).Microseconds())/float64(max(found.Returns.Count(), 1)))
		return found, nil
	})
	return err
}
