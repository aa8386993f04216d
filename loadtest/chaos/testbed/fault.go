package testbed

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ramen/internal/localcluster"
	"ramen/internal/testserver"
	"ramen/loadtest/ledger/judge"
)

// Fault is something that is done to a cluster, and undone.
type Fault struct {
	Name  string
	Nth   int           // which member of the role: counted from 0, and on from the first behind the last
	Hold  time.Duration // how long it lasts, where it lasts
	After time.Duration // after the others of its pair began

	excuses judge.Span
	ends    localcluster.Role // it may end the streams of the member, or with several of all
	all     bool
	lacks   func(c *Config) string // why it cannot be done; nil: it always can
	do      func(b *Bed, f *Fault)
}

// String says what is done.
func (f *Fault) String() string { return fmt.Sprintf("%s %d %v", f.Name, f.Nth, f.Hold) }

// Inflict does all of fs at once, waits until all are undone and the cluster is whole again, and for the calm after.
func (b *Bed) Inflict(fs ...Fault) error {
	began := b.clock.Now()
	errs := make([]error, len(fs))
	var all sync.WaitGroup
	var names []string
	for i, f := range fs {
		names = append(names, f.Name)
		all.Go(func() {
			sleep(b.ctx, f.After)
			errs[i] = b.inflict(f)
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	over := b.clock.Now()
	if err := b.heal(); err != nil {
		return fmt.Errorf("testbed: after %s: %w", strings.Join(names, "+"), err)
	}
	if err := b.awaitAccepted(20); err != nil {
		return fmt.Errorf("testbed: after %s: %w", strings.Join(names, "+"), err)
	}
	d := Done{Name: strings.Join(names, "+"), From: began, To: over, Healed: b.clock.Now() - over}
	b.logf("%s is over: %v, healed %v after it", d.Name, (d.To - d.From).Round(time.Millisecond), d.Healed.Round(time.Millisecond))
	b.mu.Lock()
	b.done = append(b.done, d)
	b.mu.Unlock()
	sleep(b.ctx, b.cfg.Calm)
	return nil
}

// heal waits until every shard is served.
func (b *Bed) heal() error {
	return testserver.Do(func() { b.AwaitServed(b.program) })
}

// Done are the faults that were done, in order.
func (b *Bed) Done() []Done {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.done)
}

// inflict does one fault, and writes down when, and what it excuses.
func (b *Bed) inflict(f Fault) error {
	span := f.excuses
	span.What = f.String()
	for i, m := range b.Members(f.ends) {
		if f.ends != "" && (f.all || i == f.Nth%len(b.Members(f.ends))) {
			span.Ends = append(span.Ends, m.At.Devices)
		}
	}
	span.From = b.clock.Now()
	b.logf("%s", &f)
	err := testserver.Do(func() { f.do(b, &f) })
	span.To = b.clock.Now() + leaseOver
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spans = append(b.spans, span)
	return err
}
