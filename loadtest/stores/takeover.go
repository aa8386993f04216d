package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"ramen/loadtest/machine"
	"ramen/loadtest/report"
)

// takeOver measures two servers on one store, without a cluster: how long the newer one takes until it serves all shards, and how long the older
// one until it serves them again once the newer was killed (kill -9). The lease has to end in between, and each claims every shard.
func (b *bench) takeOver(ctx context.Context) error {
	var some []*site
	for _, s := range b.sites {
		if s.name != embedded {
			some = append(some, s)
		}
	}
	t := newTable(some, []column{{"by a newer server, from its start", startedAnew}, {"after kill -9", afterKill}})
	for range b.c.Rounds {
		for _, s := range some {
			section := report.Section{Scenario: "take-over", About: s.says + ": two servers on one store"}
			if err := b.takeOverOnce(ctx, s, &section); err != nil {
				section.Failed = err.Error()
			}
			t.add(s, &section)
			b.all.Sections = append(b.all.Sections, section)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b.out, "\nTake-over of all shards, %d times each\n\n%s", b.c.Rounds, t)
	return nil
}

const (
	startedAnew = "from the start of a newer server until it serves"
	afterKill   = "from kill -9 of the owner until the other serves"
)

// takeOverMost bounds the wait for one.
const takeOverMost = time.Minute

func (b *bench) takeOverOnce(ctx context.Context, s *site, to *report.Section) (err error) {
	cfg := machine.ServerConfig{Binary: b.c.Binary, Dir: b.c.Dir, Store: s.url, Cache: s.cache}
	older, err := machine.StartServer(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, older.Close()) }()
	began := time.Now()
	newer, err := machine.StartServer(ctx, cfg)
	if err != nil {
		return err
	}
	to.Add(startedAnew, time.Since(began).Seconds(), "s")
	if err := awaitReady(ctx, older, false); err != nil {
		return errors.Join(fmt.Errorf("the older one goes on: %w", err), newer.Kill())
	}
	began = time.Now()
	if err := newer.Kill(); err != nil {
		return err
	}
	if err := awaitReady(ctx, older, true); err != nil {
		return fmt.Errorf("the older one does not serve again: %w", err)
	}
	to.Add(afterKill, time.Since(began).Seconds(), "s")
	return nil
}

// awaitReady waits until a server is ready, or is not.
func awaitReady(ctx context.Context, s *machine.Server, ready bool) error {
	ctx, cancel := context.WithTimeout(ctx, takeOverMost)
	defer cancel()
	defer http.DefaultClient.CloseIdleConnections()
	for {
		is, err := isReady(ctx, s)
		if err == nil && is == ready {
			return nil
		}
		if !sleep(ctx, 20*time.Millisecond) {
			return errors.Join(ctx.Err(), err, fmt.Errorf("ready: %v", is))
		}
	}
}

func isReady(ctx context.Context, s *machine.Server) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Backends+"/readyz", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}
