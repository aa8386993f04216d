package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"ramen/internal/testserver"
	"ramen/loadtest"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// bench is a run under way.
type bench struct {
	c     *config
	h     *testserver.Program
	sites []*site
	out   io.Writer
	all   report.Report // every section
}

func (b *bench) run(ctx context.Context) error {
	if err := b.warm(ctx); err != nil {
		return err
	}
	for _, part := range partNames {
		if !slices.Contains(b.c.Parts, part) {
			continue
		}
		do := map[string]func(context.Context) error{"push": b.push, "load": b.load, "takeover": b.takeOver, "node": b.node, "return": b.returns}[part]
		if err := do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// warm has the servers that run on Java compile what they do often: a node that was just started takes many times the CPU of one that
// serves. Its figures are not kept.
func (b *bench) warm(ctx context.Context) error {
	p := scenario.Params{Scenario: "push", Streams: 500, Connects: 200, Rate: warmRate, For: warmTime, Warm: time.Second, Wait: 20 * time.Second}
	for _, s := range b.sites {
		if s.name != oneNode && s.name != nodes && s.name != withCache {
			continue
		}
		if _, err := b.play(ctx, s, p, nil); err != nil {
			b.h.Logf("warm up %s: %v", s.name, err) // what is wrong shows where it is measured
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

const (
	warmRate = 400 // messages a second
	warmTime = 15 * time.Second
)

// left has users whose mailboxes leave memory soon, so that their messages are loaded from the store.
var left = []string{"--gateway.mailbox-idle=1s", "--gateway.save-interval=500ms"}

// leaveTime is more than a mailbox takes to leave memory; on a store that may lose what it has, that is five seconds longer.
const leaveTime = 9 * time.Second

// push measures messages at two rates.
func (b *bench) push(ctx context.Context) error {
	for _, rate := range b.c.Rates {
		t := newTable(b.sites, []column{
			{"our CPU a message", "CPU a message, publish to ack"}, {"store's CPU a message", "store's CPU a message"},
			{"accepted", "accepted"}, {"p50", "publish to push p50"}, {"p99", "publish to push p99"},
			{"accepted p50", "publish to accepted p50"}, {"accepted p99", "publish to accepted p99"}, {"store's memory", "store's memory (RSS)"},
		})
		p := scenario.Params{Scenario: "push", Streams: b.c.Streams, Connects: 1000, Rate: rate, For: b.c.For, Warm: 2 * time.Second, Wait: 20 * time.Second}
		err := b.rounds(ctx, t, p)
		fmt.Fprintf(b.out, "\n%s messages/s of 256 bytes to %s users for %v, %d times each; p50 and p99 from when a message was due\n\n%s",
			report.Number(rate), report.Whole(int64(b.c.Streams)), b.c.For, b.c.Rounds, t)
		if err != nil {
			return err
		}
	}
	return nil
}

// load measures users that come back to what waits for them in the store.
func (b *bench) load(ctx context.Context) error {
	for _, l := range []struct{ messages, users int }{{10, 1000}, {100, 200}, {1000, 40}} {
		t := newTable(b.sites, []column{
			{"our CPU a message", "CPU a message, the connect included"}, {"store's CPU a message", "store's CPU a message, the connect included"},
			{"until all had all", "until all had all"}, {"open p50", "open p50"}, {"open p99", "open p99"},
		})
		p := scenario.Params{Scenario: "replay", Streams: l.users, Connects: 1000, Messages: l.messages, For: leaveTime, Server: left}
		err := b.rounds(ctx, t, p)
		fmt.Fprintf(b.out, "\n%d messages loaded for each of %s users that come back at once, %d times each\n\n%s", l.messages, report.Whole(int64(l.users)), b.c.Rounds, t)
		if err != nil {
			return err
		}
	}
	return nil
}

// rounds has each store have its turns; every second round is the other way round.
func (b *bench) rounds(ctx context.Context, t *table, p scenario.Params) error {
	for i := range b.c.Rounds {
		turn := slices.Clone(b.sites)
		if i%2 == 1 {
			slices.Reverse(turn)
		}
		for _, s := range turn {
			if err := b.once(ctx, t, s, p, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// once plays one scenario on one store. What fails on a store stands in the table; the end of ctx alone is an error.
func (b *bench) once(ctx context.Context, t *table, s *site, p scenario.Params, measuring func()) error {
	r, err := b.play(ctx, s, p, measuring)
	for _, section := range r.Sections {
		section.About = s.says + ": " + section.About
		b.all.Sections = append(b.all.Sections, section)
		t.add(s, &section)
		one := report.Report{Sections: []report.Section{section}}
		fmt.Fprint(os.Stderr, one.Text())
	}
	if len(r.Sections) == 0 {
		return err
	}
	return ctx.Err()
}

// play plays one scenario on one store.
func (b *bench) play(ctx context.Context, s *site, p scenario.Params, measuring func()) (*report.Report, error) {
	return loadtest.Run(ctx, loadtest.Config{
		Binary: b.c.Binary, Dir: b.c.Dir, Serve: true, Store: s.url, Cache: s.cache, StorePIDs: s.pids(b.h), Scenarios: []scenario.Params{p}, Measuring: measuring,
	})
}
