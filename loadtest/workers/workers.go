package workers

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Pool is all workers of a run.
type Pool struct {
	workers []Worker
	shares  []float64 // of the users
}

// PerProcess is how many streams one process holds: most systems allow 20,000 descriptors and more.
const PerProcess = 18000

// New makes workers for s's users: in this process where command is nil, else a process each, which command makes.
func New(s Setup, processes int, command Command) (*Pool, error) {
	users := s.Users[1] - s.Users[0]
	if processes < 1 || uint32(processes) > users {
		return nil, fmt.Errorf("workers: make %d processes for %d users: use 1 or more, and no more than users", processes, users)
	}
	p := &Pool{}
	for i := range uint32(processes) {
		part := s
		part.Users = [2]uint32{s.Users[0] + users*i/uint32(processes), s.Users[0] + users*(i+1)/uint32(processes)}
		w, err := newWorker(part, command)
		if err != nil {
			return nil, errors.Join(err, p.Close())
		}
		p.workers = append(p.workers, w)
		p.shares = append(p.shares, float64(part.Users[1]-part.Users[0])/float64(users))
	}
	return p, nil
}

func newWorker(s Setup, command Command) (Worker, error) {
	if command == nil {
		return NewLocal(s)
	}
	return newChild(s, command)
}

// Do gives an order to all workers and waits for all.
func (p *Pool) Do(ctx context.Context, o Order) (*Outcome, error) {
	outs := make([]*Outcome, len(p.workers))
	g, ctx := errgroup.WithContext(ctx)
	for i, w := range p.workers {
		part := o
		part.Rate *= p.shares[i]
		g.Go(func() (err error) {
			outs[i], err = w.Do(ctx, part)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := new(Outcome)
	for _, out := range outs {
		all.merge(out)
	}
	return all, nil
}

// Progress is how far all have come.
func (p *Pool) Progress() Progress {
	var all Progress
	for _, w := range p.workers {
		one := w.Progress()
		all.Live += one.Live
		all.Pushes += one.Pushes
		all.Accepted += one.Accepted
		all.Ends += one.Ends
		all.Violated += one.Violated
		all.P50, all.P99 = max(all.P50, one.P50), max(all.P99, one.P99)
	}
	return all
}

// Close ends all workers.
func (p *Pool) Close() error {
	var errs []error
	for _, w := range p.workers {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}
