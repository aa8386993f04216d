package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ramen/loadtest/ledger/judge"
)

const (
	publishers = 8
	// killInStart is how seldom a server is killed before it is ready: once in so many.
	killInStart = 12
)

// run is one run: a server, and those who observe it.
type run struct {
	cfg        config
	clock      clock
	server     *server
	accepted   atomic.Int64 // answers accepted or duplicate so far
	devices    []*device
	publishers []*publisher
}

func userName(i int) string   { return fmt.Sprintf("user-%d", i) }
func deviceName(i int) string { return fmt.Sprintf("device-%d", i) }

// devicesOf is how many devices a user has.
func (r *run) devicesOf(user int) int { return 1 + user%4 }

// late is when a device comes for the first time: most at once, of every eighth user none, of some users one, only later.
func (r *run) late(user, index int, rng *rand.Rand) time.Duration {
	if user%8 == 4 || (user%4 == 3 && index == 3) {
		return time.Duration(rng.Int64N(int64(min(r.cfg.For/8, 40*time.Second))))
	}
	return 0
}

// observe makes a run and puts together what everybody saw.
func observe(ctx context.Context, c config, dir string) (*judge.Log, error) {
	rng := rand.New(rand.NewPCG(c.Seed, 0))
	s, err := newServer(c, dir)
	if err != nil {
		return nil, err
	}
	defer s.end()
	r := &run{cfg: c, clock: s.clock, server: s}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	if err := r.play(ctx, rng); err != nil {
		return nil, err
	}
	s.check(ctx)
	s.stop()
	s.end()
	return r.log(), ctx.Err()
}

// play publishes and kills, and then has every device get all that it is due.
func (r *run) play(ctx context.Context, rng *rand.Rand) error {
	living, leave := context.WithCancel(ctx)
	defer leave()
	var streams, publishing sync.WaitGroup
	defer streams.Wait()
	defer leave()
	for u := range r.cfg.Users {
		for i := range r.devicesOf(u) {
			d := newDevice(r, userName(u), i, rand.New(rand.NewPCG(r.cfg.Seed, uint64(1000+8*u+i))))
			late := r.late(u, i, rng)
			r.devices = append(r.devices, d)
			streams.Go(func() { d.work(living, late) })
		}
	}
	sleep(ctx, r.cfg.MinLife) // most devices are known before the first message
	working, enough := context.WithCancel(ctx)
	defer enough()
	if err := r.hire(living, working, &publishing); err != nil {
		return err
	}
	defer publishing.Wait()
	defer enough()
	if err := r.killAgainAndAgain(ctx, rng); err != nil {
		leave() // nobody waits for a server that does not come back
		return err
	}
	enough()
	publishing.Wait()
	leave()
	streams.Wait()
	return r.settle(ctx)
}

// hire starts the publishers.
func (r *run) hire(life, working context.Context, publishing *sync.WaitGroup) error {
	for i := range publishers {
		c, err := newCalls(r.server.at)
		if err != nil {
			return err
		}
		p := &publisher{run: r, index: i, rng: rand.New(rand.NewPCG(r.cfg.Seed, uint64(100+i))), calls: c}
		r.publishers = append(r.publishers, p)
		publishing.Go(func() {
			defer c.close()
			p.work(working, life)
		})
	}
	return nil
}

// killAgainAndAgain returns when there were kills and messages enough, with the server up.
func (r *run) killAgainAndAgain(ctx context.Context, rng *rand.Rand) error {
	told := time.Now()
	for end := time.Now().Add(r.cfg.For); ctx.Err() == nil && time.Now().Before(end); {
		if len(r.server.kills) >= r.cfg.Kills && r.accepted.Load() >= int64(r.cfg.Accept)*11/10 { // duplicates are counted, too
			break
		}
		sleep(ctx, r.cfg.MinLife+time.Duration(rng.Int64N(int64(r.cfg.MaxLife-r.cfg.MinLife)+1)))
		if err := r.killOnce(ctx, rng); err != nil {
			return err
		}
		if time.Since(told) > 10*time.Second {
			told = time.Now()
			fmt.Fprintf(r.cfg.Progress, "ledger: %v: %d kills, %d accepted, slowest start %v\n", r.clock.now().Round(time.Second), len(r.server.kills), r.accepted.Load(), r.server.slowest.Round(time.Millisecond))
		}
	}
	return ctx.Err()
}

// killOnce kills the server, at times once more while it starts, and starts it.
func (r *run) killOnce(ctx context.Context, rng *rand.Rand) error {
	r.server.kill()
	for rng.IntN(killInStart) == 0 {
		if err := r.server.killInStart(rng); err != nil {
			return err
		}
	}
	return r.server.start(ctx)
}

// settle has every device get what it is due, acked; then come back without a cursor to the same process, and to one that has
// started after a kill.
func (r *run) settle(ctx context.Context) error {
	fmt.Fprintf(r.cfg.Progress, "ledger: %v: all is published; devices take what waits\n", r.clock.now().Round(time.Second))
	r.everyDevice(func(d *device) { d.open(ctx, r.cfg.Quiet, true) })
	r.everyDevice(func(d *device) { d.open(ctx, r.cfg.Quiet, true) }) // with its cursor: hello confirms the acks
	r.everyDevice(func(d *device) {
		d.lose()
		d.open(ctx, r.cfg.Quiet, true)
	})
	r.server.kill()
	if err := r.server.start(ctx); err != nil {
		return err
	}
	for range 2 {
		r.everyDevice(func(d *device) {
			d.lose()
			d.open(ctx, r.cfg.Quiet, true)
		})
	}
	return ctx.Err()
}

func (r *run) everyDevice(f func(d *device)) {
	var all sync.WaitGroup
	defer all.Wait()
	for _, d := range r.devices {
		all.Go(func() { f(d) })
	}
}

// log is what everybody saw.
func (r *run) log() *judge.Log {
	l := &judge.Log{Began: r.clock.began, Slack: r.clock.slack(), Kills: r.server.kills, Faults: r.server.faults}
	for _, p := range r.publishers {
		l.Messages = append(l.Messages, p.messages...)
		l.Faults = append(l.Faults, p.calls.faults...)
	}
	for _, d := range r.devices {
		l.Devices = append(l.Devices, d.rec)
		l.Faults = append(l.Faults, d.faults...)
	}
	return l
}
