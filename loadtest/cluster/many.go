package main

import (
	"context"
	"time"

	"ramen/internal/testserver"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// many has many streams over several frontends, since a process may have 20,000 descriptors: first idle, then with a message each every
// ten seconds.
func many(ctx context.Context, c *config) error {
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
		idle := scenario.Params{Scenario: "idle", Transport: "ws", Streams: streams, For: or(c.For, 30*time.Second), Connects: 2000, Slack: busySlack, Wait: 2 * time.Minute}
		if found, err := c.play(ctx, "idle", s.load(false), idle); err != nil {
			return found, err
		}
		push := idle
		push.Scenario, push.Rate, push.Warm = "push", or(c.Rate, float64(streams)/10), 5*time.Second
		return c.play(ctx, "a message each every 10 s", s.load(false), push)
	})
	return err
}

// busySlack is how much later than it should a heartbeat may come: load and servers share the processors.
const busySlack = 3 * time.Second
