package main

import (
	"context"
	"fmt"
	"time"

	"ramen/internal/testserver"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

const (
	before = 10 * time.Second // until a node is stopped
	hold   = 10 * time.Second // it stays stopped
	more   = 15 * time.Second // after it goes on
)

// node stops one node of three by SIGSTOP while messages are published, and draws their latency over time.
func (b *bench) node(ctx context.Context) error {
	for _, s := range b.sites {
		if s.name != nodes {
			continue
		}
		t := newTable([]*site{s}, nil)
		done := make(chan error, 1)
		stopping, cancel := context.WithCancel(ctx)
		begun := false
		p := scenario.Params{Scenario: "push", Streams: b.c.Streams, Connects: 1000, Rate: b.c.NodeRate, For: before + hold + more, Warm: 2 * time.Second, Wait: 20 * time.Second}
		err := b.once(ctx, t, s, p, func() {
			begun = true
			go func() { done <- testserver.Do(func() { b.stop(stopping, s) }) }()
		})
		cancel()
		if begun {
			if serr := <-done; err == nil {
				err = serr
			}
		}
		if err != nil {
			return err
		}
		last := &b.all.Sections[len(b.all.Sections)-1]
		fmt.Fprintf(b.out, "\n%s messages/s on three Cassandra nodes; one is stopped (SIGSTOP) at %v and goes on at %v; refused or without an answer: see notes\n\n%s",
			report.Number(p.Rate), before, before+hold, last.LatencyChart())
		for _, n := range last.Notes {
			fmt.Fprintf(b.out, "- %s\n", n)
		}
	}
	return nil
}

// stop stops the last node for a while.
func (b *bench) stop(ctx context.Context, s *site) {
	node := s.servers[len(s.servers)-1]
	if !sleep(ctx, before) {
		return
	}
	node.Pause(b.h)
	sleep(ctx, hold)
	node.Continue(b.h)
}

// sleep reports whether the time is over; else ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
