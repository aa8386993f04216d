package workers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"ramen/loadtest/devices"
	"ramen/loadtest/expect"
	"ramen/loadtest/publisher"
	"ramen/loadtest/stats"
)

// Worker carries out orders.
type Worker interface {
	Do(ctx context.Context, o Order) (*Outcome, error)
	Progress() Progress
	Close() error
}

// Local is a worker in this process.
type Local struct {
	expected  *expect.Expectations
	fleet     *devices.Fleet
	publisher *publisher.Publisher
}

var _ Worker = (*Local)(nil)

// NewLocal makes a worker in this process.
func NewLocal(s Setup) (*Local, error) {
	l := &Local{expected: expect.New(s.Run)}
	devicesCfg, err := s.devices(l.expected)
	if err != nil {
		return nil, err
	}
	publisherCfg, err := s.publisher(l.expected)
	if err != nil {
		return nil, err
	}
	if l.fleet, err = devices.New(devicesCfg); err != nil {
		return nil, err
	}
	if s.Target.Backends == "" && s.Target.BackendsGRPC == "" && s.Target.Bare == "" {
		return l, nil
	}
	if l.publisher, err = publisher.New(publisherCfg); err != nil {
		l.fleet.Close()
		return nil, err
	}
	return l, nil
}

// Do implements Worker.
func (l *Local) Do(ctx context.Context, o Order) (*Outcome, error) {
	begin := time.Now()
	out := new(Outcome)
	over := time.Duration(0)
	if o.Verb == Push {
		over = o.For
	}
	if o.Verb != Verify {
		l.fleet.Take(over)
	}
	if err := l.carryOut(ctx, &o, out); err != nil {
		return nil, err
	}
	out.Took = time.Since(begin)
	out.Devices = *l.fleet.Take(0)
	out.Live, out.Missing = l.fleet.Live(), l.missing()
	out.Violations, out.Counts = l.expected.Take()
	out.Self, _ = stats.OfProcess(os.Getpid()) // zero where the system does not tell
	return out, nil
}

var errNoBackend = errors.New("workers: publish: give a port of the backends")

func (l *Local) carryOut(ctx context.Context, o *Order, out *Outcome) error {
	if l.publisher == nil && (o.Verb == Push || o.Verb == Each || o.Verb == Storm) {
		return errNoBackend
	}
	switch o.Verb {
	case Connect:
		part := o.Part
		if part == 0 {
			part = 1
		}
		wanted := l.fleet.Connect(o.Rate, part)
		return l.await(ctx, o.For+o.Wait, func() bool { return l.fleet.Live() >= wanted && l.missing() == 0 })
	case Hold:
		return l.await(ctx, o.For, func() bool { return false })
	case Push:
		return l.push(ctx, o, out)
	case Each:
		stats, err := l.publisher.Each(ctx, o.Count)
		out.Published = *stats
		return err
	case Cut:
		l.fleet.Cut(false)
		return nil
	case Storm:
		return l.storm(ctx, o, out)
	case Verify:
		err := l.await(ctx, o.Wait, func() bool { return l.missing() == 0 })
		if l.publisher != nil {
			l.fleet.ReportMissing(l.publisher.Sent)
		}
		return err
	case Quit:
		return nil
	}
	return fmt.Errorf("workers: there is no order %q", o.Verb)
}

func (l *Local) push(ctx context.Context, o *Order, out *Outcome) error {
	if o.Churn != nil {
		l.fleet.SetChurn(o.Churn)
		defer l.fleet.SetChurn(nil)
	}
	stats, err := l.publisher.Run(ctx, o.Rate, o.For)
	out.Published = *stats
	if err != nil {
		return err
	}
	if o.Churn != nil {
		l.fleet.SetChurn(nil)
	}
	return l.await(ctx, o.Wait, func() bool { return l.missing() == 0 && (o.Churn == nil || l.fleet.Live() == l.fleet.Size()) })
}

func (l *Local) storm(ctx context.Context, o *Order, out *Outcome) error {
	l.fleet.Cut(true)
	g, within := errgroup.WithContext(ctx)
	g.Go(func() error {
		stats, err := l.publisher.Each(within, 1)
		out.Published = *stats
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	return l.await(ctx, o.Wait, func() bool { return l.fleet.Away() == 0 && l.missing() == 0 })
}

func (l *Local) missing() int {
	if l.publisher == nil {
		return 0
	}
	return l.fleet.Missing(l.publisher.Sent)
}

// await waits until done, for at most the given time. The error is only ctx's.
func (l *Local) await(ctx context.Context, most time.Duration, done func() bool) error {
	end := time.NewTimer(most)
	defer end.Stop()
	look := time.NewTicker(min(max(most/100, 5*time.Millisecond), 50*time.Millisecond))
	defer look.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			return nil
		case <-look.C:
		}
	}
	return nil
}

// Progress implements Worker.
func (l *Local) Progress() Progress {
	var p Progress
	recent := new(stats.Hist)
	p.Live, p.Pushes, p.Ends = l.fleet.Progress(recent)
	p.Violated, p.P50, p.P99 = l.expected.Violated(), recent.At(50), recent.At(99)
	if l.publisher != nil {
		p.Accepted = l.publisher.Accepted()
	}
	return p
}

// Close ends every stream.
func (l *Local) Close() error {
	l.fleet.Close()
	if l.publisher != nil {
		l.publisher.Close()
	}
	return nil
}
