package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/ledger/observe"
	"ramen/loadtest/ledger/process"
)

// killInStart is how seldom a server is killed before it is ready: once in so many.
const killInStart = 12

// run is one run: a server, and those who observe it.
type run struct {
	cfg     config
	clock   observe.Clock
	server  *process.Process
	clients *observe.Clients
}

// observeRun makes a run and puts together what everybody saw.
func observeRun(ctx context.Context, c config, dir string) (*judge.Log, error) {
	clock := observe.StartClock()
	// Mailboxes leave memory and segments are written to tables within a run, and not only after minutes.
	args := []string{"--gateway.mailbox-idle", "4s", "--store.pebble.checkpoint-every", "3s"}
	prefix := ""
	if c.Store != "" {
		args = append(args, "--store", c.Store)
		prefix = fmt.Sprintf("ledger-%d-", clock.Began.UnixNano())
	}
	if c.Cache != "" {
		args = append(args, "--cache", c.Cache)
	}
	p, err := process.New(process.Config{Binary: c.Binary, Dir: dir, Name: "server", Clock: clock, Empty: c.Store != "", Args: args})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	r := &run{cfg: c, clock: clock, server: p, clients: observe.New(observe.Config{
		Seed: c.Seed, Users: c.Users, Pause: c.Pause, Quiet: c.Quiet, Late: min(c.For/8, 40*time.Second), Clock: clock, Prefix: prefix}, p)}
	if err := p.Start(ctx); err != nil {
		return nil, err
	}
	if err := r.play(ctx, rand.New(rand.NewPCG(c.Seed, 0))); err != nil {
		return nil, err
	}
	p.Check(ctx)
	p.Stop()
	p.Close()
	return r.log(), ctx.Err()
}

// play publishes and kills, and then has every device get all that it is due.
func (r *run) play(ctx context.Context, rng *rand.Rand) error {
	living, leave := context.WithCancel(ctx)
	defer r.clients.Leave()
	defer r.clients.StopPublishing()
	defer leave() // nobody waits for a server that does not come back
	r.clients.Connect(living)
	sleep(ctx, r.cfg.MinLife) // most devices are known before the first message
	r.clients.Publish(living)
	if err := r.killAgainAndAgain(ctx, rng); err != nil {
		return err
	}
	r.clients.StopPublishing()
	r.clients.Leave()
	return r.drainAll(ctx)
}

// killAgainAndAgain returns when there were kills and messages enough, with the server up.
func (r *run) killAgainAndAgain(ctx context.Context, rng *rand.Rand) error {
	told := time.Now()
	for end := time.Now().Add(r.cfg.For); ctx.Err() == nil && time.Now().Before(end); {
		if len(r.server.Kills()) >= r.cfg.Kills && r.clients.Accepted() >= int64(r.cfg.Accept)*11/10 { // duplicates are counted, too
			break
		}
		sleep(ctx, r.cfg.MinLife+time.Duration(rng.Int64N(int64(r.cfg.MaxLife-r.cfg.MinLife)+1)))
		if err := r.killOnce(ctx, rng); err != nil {
			return err
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Fprintf(r.cfg.Progress, "ledger: %v: %d kills, %d accepted, slowest start %v\n", r.clock.Now().Round(time.Second), len(r.server.Kills()), r.clients.Accepted(), r.server.SlowestStart().Round(time.Millisecond))
		}
	}
	return ctx.Err()
}

// killOnce kills the server, at times once more while it starts, and starts it.
func (r *run) killOnce(ctx context.Context, rng *rand.Rand) error {
	r.server.Kill()
	for rng.IntN(killInStart) == 0 {
		if err := r.server.KillInStart(rng); err != nil {
			return err
		}
	}
	return r.server.Start(ctx)
}

// drainAll has every device get what it is due, acked; then come back without a cursor to the same process, and to one that has
// started after a kill.
func (r *run) drainAll(ctx context.Context) error {
	fmt.Fprintf(r.cfg.Progress, "ledger: %v: all is published; devices take what waits\n", r.clock.Now().Round(time.Second))
	r.clients.Drain(ctx, false)
	r.clients.Drain(ctx, false) // with its cursor: hello confirms the acks
	r.clients.Drain(ctx, true)
	r.server.Kill()
	if err := r.server.Start(ctx); err != nil {
		return err
	}
	for range 2 {
		r.clients.Drain(ctx, true)
	}
	return ctx.Err()
}

// log is what everybody saw.
func (r *run) log() *judge.Log {
	l := &judge.Log{Began: r.clock.Began, Slack: r.clock.Slack(), Kills: r.server.Kills(), Faults: r.server.Faults()}
	r.clients.AddTo(l)
	return l
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
