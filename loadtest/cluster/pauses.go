package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ramen/internal/localcluster"
	"ramen/internal/testserver"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
	"ramen/loadtest/stats"
)

// killed, drained and moved tell the pauses of streams whose gateway goes.
func killed(ctx context.Context, c *config) error {
	return c.pauses(ctx, "a gateway is killed", func(t *testserver.Program, m *localcluster.Member, _ *site) { m.Kill(t) })
}

func drained(ctx context.Context, c *config) error {
	return c.pauses(ctx, "a gateway is stopped in order", func(t *testserver.Program, m *localcluster.Member, _ *site) { m.Stop(t) })
}

func moved(ctx context.Context, c *config) error {
	return c.pauses(ctx, "an operator empties a gateway", func(t *testserver.Program, m *localcluster.Member, s *site) {
		if err := drain(ctx, s.Members(localcluster.Controller)[0], m.Name); err != nil {
			t.Fatalf("%v", err)
		}
		bounded, cancel := context.WithTimeout(ctx, testserver.Patience)
		defer cancel()
		if err := testserver.Await(bounded, func() error {
			left, err := m.Serving(bounded)
			if err == nil && left > 0 {
				err = fmt.Errorf("%s serves %d shards", m.Name, left)
			}
			return err
		}); err != nil {
			t.Fatalf("%v", err)
		}
	})
}

// drain asks for a gateway to be emptied.
func drain(ctx context.Context, controller *localcluster.Member, name string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+controller.At.Backends+"/v1/cluster/drain", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cluster: drain %s: %s", name, resp.Status)
	}
	return nil
}

// A message to each stream ten times a second, by a publisher of its own, so that no stream waits for what another's publisher waits for: a
// stream's longest latency is its pause, and at most a tenth of a second more.
const (
	pausedStreams = 300
	perStream     = 10 // messages a second
	before        = 3 * time.Second
)

// pauses has one of three gateways go while each stream is pushed to, and tells the longest latency of each.
func (c *config) pauses(ctx context.Context, what string, fault func(*testserver.Program, *localcluster.Member, *site)) error {
	_, err := c.alone(func(t *testserver.Program) (report.Section, error) {
		store, err := c.redis(t, false)
		if err != nil {
			return report.Section{}, err
		}
		s, err := c.start(t, c.Binary, store, or(c.Frontends, 2), or(c.Gateways, 3), false)
		if err != nil {
			return report.Section{}, err
		}
		n := or(c.Streams, pausedStreams)
		p := scenario.Params{Scenario: "push", Transport: "ws", Streams: n, Rate: float64(n * perStream), For: or(c.For, 15*time.Second), Publishers: n,
			Every: 5 * time.Millisecond, Warm: 3 * time.Second, Slack: busySlack}
		cfg := s.load(false)
		cfg.PIDs = nil // one of them goes
		done := s.when(t, &cfg, before, func() { fault(t, s.Members(localcluster.Gateway)[0], s) })
		found, err := c.play(ctx, what, cfg, p)
		if err = errors.Join(err, <-done); err != nil {
			return found, err
		}
		c.spread("the longest publish to push of each stream", found.Pauses)
		return found, nil
	})
	return err
}

// when has a fault done some time after measuring has begun. What it answers has a value once that has been done.
func (s *site) when(t *testserver.Program, cfg *scenario.Config, after time.Duration, fault func()) <-chan error {
	done := make(chan error, 1)
	cfg.Measuring = func() {
		go func() {
			time.Sleep(after)
			began := time.Now()
			err := t.Do(fault)
			fmt.Fprintf(s.c.out, "\nthe fault took %v\n", time.Since(began).Round(time.Millisecond))
			done <- err
		}()
	}
	return done
}

// bounds are those of the bars in which times are told.
var bounds = []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, 10 * time.Second, time.Hour}

// spread tells how many times lie between which bounds.
func (c *config) spread(what string, h *stats.Hist) {
	if h == nil || h.Count() == 0 {
		return
	}
	fmt.Fprintf(c.out, "\n%s, %d in all: p50 %v, p99 %v, most %v\n", what, h.Count(), h.At(50), h.At(99), h.Max())
	from := time.Duration(0)
	for _, to := range bounds {
		if n := h.Between(from, to); n > 0 {
			fmt.Fprintf(c.out, "  over %v to %v: %d\n", from, to, n)
		}
		from = to
	}
}
