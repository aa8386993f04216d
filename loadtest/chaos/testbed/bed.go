package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"ramen/internal/localcluster"
	"ramen/internal/netspace"
	"ramen/internal/testserver"
	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/ledger/observe"
)

// Config says what a testbed is of.
type Config struct {
	Cluster localcluster.Config
	// Previous is another binary, with which the cluster starts and from which the first "upgraded" leads to Cluster.Binary. Later ones lead
	// there and back. Empty: there is none.
	Previous string
	// NoWayBack: Previous cannot go on from what Cluster.Binary has written. Then a later "upgraded" is a rolling restart.
	NoWayBack bool
	Store     string // one of Stores
	// Network has every member and the store be hosts of it, which can be cut off from each other; nil: they are at 127.0.0.1.
	Network *netspace.Network

	Seed   uint64        // of what publishers and devices do
	Users  int           // with 1 to 4 devices each
	Life   time.Duration // of a stream, on average
	Pause  time.Duration // of each of the 8 publishers between two batches
	Quiet  time.Duration // so long without a push means that a device has all
	Calm   time.Duration // before the first fault, and after each
	Logs   string        // a folder where the members' logs go in the end; empty: nowhere
	Tamper observe.Tamper
	// Progress is told what is done.
	Progress io.Writer
}

// Default is a testbed for a small machine, but for the binary.
func Default() Config {
	return Config{
		// Gateways wait longer for a Redis that a busy machine holds up than they do by default: that service goes on is to be seen nevertheless.
		// And mailboxes have room for what nobody is known yet who wants it, for as long as a run lasts.
		Cluster: localcluster.Config{Controllers: 3, Gateways: 3, Frontends: 2, LogLevel: "info",
			Args: map[localcluster.Role][]string{localcluster.Gateway: {"--gateway.append-timeout", "3s", "--gateway.mailbox-messages", "200000"}}},
		Store: Redis, Users: 24, Life: 8 * time.Second, Pause: 80 * time.Millisecond, Quiet: 1500 * time.Millisecond, Calm: time.Second, Progress: io.Discard,
	}
}

// The times of a testbed.
const (
	deadline     = 15 * time.Second       // of a publish: 5 s by the router's configuration, and a margin for a busy machine
	savedIn      = 10 * time.Second       // after which an ack is surely saved: a second by configuration, and a margin
	leaseOver    = 5 * time.Second        // for how long after a fault it may still show: a lease, and a margin
	mostRun      = 25 * time.Minute       // below the 30 minutes that a message lives whose publisher named no ttl
	restartPause = 200 * time.Millisecond // before a member that ended in its start is started again
	mostRecover  = 2 * time.Minute        // after a fault, until all is served again
)

// Bed is a cluster under load.
type Bed struct {
	*localcluster.Cluster
	cfg     Config
	ctx     context.Context
	cancel  context.CancelFunc
	program *testserver.Program
	clock   observe.Clock
	clients *observe.Clients
	leave   context.CancelFunc
	servers servers // of the store

	owners   *owners
	unwatch  context.CancelFunc
	watching func() error // waits until nobody watches owners any more

	acting    sync.Map   // a *sync.Mutex by a member's name
	upgrading sync.Mutex // held while all members are led to another binary

	mu       sync.Mutex
	spans    []judge.Span              // guarded by mu
	hosts    map[string]*netspace.Host // guarded by mu: by a member's name
	wrong    []string                  // guarded by mu: what the testbed itself has found
	lapses   []judge.Span              // guarded by mu: when gateways have lost their leases
	done     []Done                    // guarded by mu
	old      bool                      // guarded by upgrading: members run Config.Previous
	up       map[string]bool           // guarded by mu: frontends, by name, that clients are led to
	upSwitch chan struct{}             // guarded by mu: closed when up changes
}

// Done is a fault that was done.
type Done struct {
	Name     string
	From, To judge.Moment  // To: it was undone
	Healed   time.Duration // from To until every shard was served and messages were accepted
}

// Start starts a cluster and its load. Finish or Close has to be called.
func Start(ctx context.Context, cfg Config) (*Bed, error) {
	b := &Bed{cfg: cfg, program: testserver.NewProgram("chaos", cfg.Progress), up: make(map[string]bool), upSwitch: make(chan struct{}), leave: func() {}, unwatch: func() {}}
	b.owners = newOwners(b.note)
	b.ctx, b.cancel = context.WithTimeout(ctx, mostRun)
	first := cfg.Cluster
	if cfg.Previous != "" {
		first.Binary, b.old = cfg.Previous, true
	}
	if err := testserver.Do(func() {
		if first.Store == "" {
			first.Store = b.startStore()
		}
		first.Place = b.place
		b.Cluster = localcluster.Start(b.program, first)
	}); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	for _, m := range b.Members(localcluster.Frontend) {
		b.setUp(m, true)
	}
	b.clock = observe.StartClock()
	b.clients = observe.New(observe.Config{
		Seed: cfg.Seed, Users: cfg.Users, Pause: cfg.Pause, Quiet: cfg.Quiet, Clock: b.clock, Life: cfg.Life, Moves: true, Unread: true, Tamper: cfg.Tamper,
		Prefix: fmt.Sprintf("chaos-%d-", b.clock.Began.UnixNano()),
	}, b)
	living, leave := context.WithCancel(b.ctx)
	b.leave = leave
	watching, unwatch := context.WithCancel(b.ctx)
	b.unwatch = unwatch
	if err := b.watchOwners(watching, first.Store); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	b.clients.Connect(living)
	sleep(b.ctx, cfg.Calm/2) // most devices are known before the first message
	b.clients.Publish(living)
	if err := b.awaitAccepted(50); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	sleep(b.ctx, cfg.Calm)
	return b, nil
}

// Close ends everything.
func (b *Bed) Close() error {
	b.leave()
	if b.clients != nil {
		b.clients.StopPublishing()
		b.clients.Leave()
	}
	err := b.stopWatching()
	if b.cfg.Logs != "" && b.Cluster != nil {
		err = errors.Join(err, b.SaveLogs(b.cfg.Logs))
	}
	err = errors.Join(err, b.program.Close())
	b.cancel()
	return err
}

// stopWatching has nobody watch owners any more.
func (b *Bed) stopWatching() error {
	b.unwatch()
	if b.watching == nil {
		return nil
	}
	watching := b.watching
	b.watching = nil
	return watching()
}

// AwaitUp implements observe.Servers: it is a load balancer's, which knows of frontends that were taken out.
func (b *Bed) AwaitUp(ctx context.Context) (observe.Addresses, bool) {
	for ctx.Err() == nil {
		b.mu.Lock()
		var some []*localcluster.Member
		for _, m := range b.Members(localcluster.Frontend) {
			if b.up[m.Name] {
				some = append(some, m)
			}
		}
		changed := b.upSwitch
		b.mu.Unlock()
		if len(some) > 0 {
			at := some[rand.IntN(len(some))].At
			return observe.Addresses{Devices: at.Devices, DevicesGRPC: at.DevicesGRPC, Backends: at.Backends, BackendsGRPC: at.BackendsGRPC}, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return observe.Addresses{}, false
}

// setUp has clients be led to a frontend, or not.
func (b *Bed) setUp(m *localcluster.Member, up bool) {
	if m.Role != localcluster.Frontend {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up[m.Name] = up
	close(b.upSwitch)
	b.upSwitch = make(chan struct{})
}

// awaitAccepted waits until so many more messages were accepted.
func (b *Bed) awaitAccepted(more int64) error {
	began := time.Now()
	for until := b.clients.Accepted() + more; b.clients.Accepted() < until; sleep(b.ctx, 5*time.Millisecond) {
		if b.ctx.Err() != nil || time.Since(began) > mostRecover {
			return fmt.Errorf("testbed: for %v no %d messages were accepted", time.Since(began).Round(time.Second), more)
		}
	}
	return nil
}

// note writes down something wrong that the testbed itself has found.
func (b *Bed) note(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, fmt.Sprintf(format, args...))
}

func (b *Bed) logf(format string, args ...any) {
	fmt.Fprintf(b.cfg.Progress, "chaos: %v: %s\n", b.clock.Now().Round(time.Millisecond), fmt.Sprintf(format, args...))
}

// Finish has every device take what it is due, has all of the cluster start anew from what the store has, has every device take that too,
// ends everything in order, and answers the log.
func (b *Bed) Finish() (*judge.Log, error) {
	err := b.finish()
	err = errors.Join(err, b.Close())
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l := &judge.Log{Began: b.clock.Began, Slack: b.clock.Slack(), Spans: b.spans, Deadline: deadline, SavedIn: savedIn, Holds: true, Faults: b.wrong}
	l.Spans = append(l.Spans, b.lapses...)
	b.clients.AddTo(l)
	slices.SortFunc(l.Spans, func(x, y judge.Span) int { return int(x.From - y.From) })
	return l, nil
}

func (b *Bed) finish() error {
	sleep(b.ctx, b.cfg.Calm)
	b.clients.StopPublishing()
	b.clients.Leave()
	b.clients.Drain(b.ctx, false)
	b.clients.Drain(b.ctx, false) // with its cursor: hello confirms the acks
	b.logf("all gateways are killed, and start from what the store has")
	if err := b.inflict(Fault{Name: "gateways-killed", excuses: judge.Span{Owner: true}, do: (*Bed).killAllGateways}); err != nil {
		return err
	}
	if err := b.heal(); err != nil {
		return err
	}
	b.clients.Drain(b.ctx, true)
	if err := b.ctx.Err(); err != nil {
		return fmt.Errorf("testbed: the run has taken too long, or was ended: %w", err)
	}
	b.check()
	if err := b.findLapses(b.Members(localcluster.Gateway)...); err != nil {
		return err
	}
	if err := b.stopWatching(); err != nil {
		return err
	}
	return testserver.Do(b.stopAll)
}

// check has every member recount its gauges, and looks through what it has written.
func (b *Bed) check() {
	for _, m := range b.Members("") {
		if !m.Running() {
			continue
		}
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		err := testserver.Await(ctx, func() error {
			status, body, err := m.Get(ctx, "/debug/check")
			if err == nil && status != 200 {
				err = fmt.Errorf("%d %s", status, strings.TrimSpace(body))
			}
			return err
		})
		cancel()
		if err != nil {
			b.note("the gauges of %s do not add up: %v", m.Name, err)
		}
	}
}

// stopAll ends all members in order, the last layer first.
func (b *Bed) stopAll() {
	for _, role := range []localcluster.Role{localcluster.Frontend, localcluster.Gateway, localcluster.Controller} {
		for _, m := range b.Members(role) {
			if m.Running() {
				m.Stop(b.program)
			}
		}
	}
	for _, m := range b.Members("") {
		for _, word := range []string{"DATA RACE", "panic: ", "fatal error: "} {
			if m.HasWritten(word) {
				b.note("%s has written %q: %s", m.Name, word, m.Log())
			}
		}
	}
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
