package observe

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ramen/loadtest/ledger/judge"
)

// publishers is how many there are: two of each kind.
const publishers = 8

// Addresses are a server's ports, the same in all its lives.
type Addresses struct{ Devices, DevicesGRPC, Backends, BackendsGRPC string }

// Servers says where to publish and to open streams.
type Servers interface {
	// AwaitUp waits until a server is there, and answers where; false: ctx has ended.
	AwaitUp(ctx context.Context) (Addresses, bool)
}

// Clock gives the moments of a run.
type Clock struct {
	Began time.Time
	most  *atomic.Int64 // ns: how far apart the wall clock and the monotonic one have been; nil: the zero Clock
}

// StartClock has a run begin now.
func StartClock() Clock { return Clock{Began: time.Now(), most: new(atomic.Int64)} }

// Now is the moment that it is.
func (c Clock) Now() judge.Moment {
	now := time.Now()
	moment := now.Sub(c.Began)
	c.apart(now.Round(0).Sub(c.Began.Round(0)) - moment)
	return moment
}

// apart notes how far the wall clock is before the monotonic one.
func (c Clock) apart(by time.Duration) {
	if c.most == nil {
		return
	}
	for {
		most := c.most.Load()
		if int64(by.Abs()) <= most || c.most.CompareAndSwap(most, int64(by.Abs())) {
			return
		}
	}
}

// Slack is how far the wall clock was moved against the monotonic one, at most, at the moments that Now has told.
func (c Clock) Slack() time.Duration {
	c.Now()
	if c.most == nil {
		return 0
	}
	return time.Duration(c.most.Load())
}

// Config says who is there, and what they do.
type Config struct {
	Seed  uint64
	Users int           // with 1 to 4 devices each
	Pause time.Duration // of a publisher between two batches
	Quiet time.Duration // so long without a push means that a device has all
	Late  time.Duration // some devices come for the first time up to so long after the others
	Clock Clock
	// Prefix begins the names of the users, so that several runs can have one store.
	Prefix string
	// Life is how long a stream is held on average; 0: 3 s.
	Life time.Duration
	// Moves says that servers take over from each other, or are stopped in order: a stream may end with drain and rebalance, too.
	Moves bool
	// Unread has devices stop reading for a while at times, and then break off their stream with bytes unread: what was sent is not acked, and
	// comes again, whoever serves the user by then.
	Unread bool
	Tamper Tamper
}

// Clients are all publishers and devices of a run. Its methods are for one goroutine, but for Accepted.
type Clients struct {
	cfg        Config
	servers    Servers
	accepted   atomic.Int64 // answers accepted or duplicate so far
	devices    []*device
	publishers []*publisher
	idle       idle
	tampering  tampering

	streams, publishing sync.WaitGroup
	leave, enough       context.CancelFunc
}

// New is clients that have not come yet.
func New(cfg Config, servers Servers) *Clients {
	c := &Clients{cfg: cfg, servers: servers, leave: func() {}, enough: func() {}, tampering: tampering{Tamper: cfg.Tamper}}
	c.idle.wake(true, false)
	return c
}

func (c *Clients) userName(i int) string { return fmt.Sprintf("%suser-%d", c.cfg.Prefix, i) }

func deviceName(i int) string { return fmt.Sprintf("device-%d", i) }

// devicesOf is how many devices a user has.
func devicesOf(user int) int { return 1 + user%4 }

// late is when a device comes for the first time: most at once, of every eighth user none, of some users one, only later.
func (c *Clients) late(user, index int, rng *rand.Rand) time.Duration {
	if c.cfg.Late > 0 && (user%8 == 4 || (user%4 == 3 && index == 3)) {
		return time.Duration(rng.Int64N(int64(c.cfg.Late)))
	}
	return 0
}

// Connect has the devices come, and open one stream after another until Leave.
func (c *Clients) Connect(ctx context.Context) {
	ctx, c.leave = context.WithCancel(ctx)
	rng := rand.New(rand.NewPCG(c.cfg.Seed, 0))
	for u := range c.cfg.Users {
		for i := range devicesOf(u) {
			d := newDevice(c, c.userName(u), i, rand.New(rand.NewPCG(c.cfg.Seed, uint64(1000+8*u+i))))
			late := c.late(u, i, rng)
			c.devices = append(c.devices, d)
			c.streams.Go(func() { d.work(ctx, late, sleeper(u)) })
		}
	}
}

// Publish has the publishers publish until StopPublishing.
func (c *Clients) Publish(ctx context.Context) {
	working, enough := context.WithCancel(ctx)
	c.enough = enough
	for i := range publishers {
		p := &publisher{clients: c, index: i, rng: rand.New(rand.NewPCG(c.cfg.Seed, uint64(100+i))), calls: newCalls()}
		c.publishers = append(c.publishers, p)
		c.publishing.Go(func() {
			defer p.calls.close()
			p.work(working, ctx)
		})
	}
}

// StopPublishing returns once all that was published is answered, or the context of Publish has ended.
func (c *Clients) StopPublishing() {
	c.enough()
	c.publishing.Wait()
}

// Leave returns once no device has a stream.
func (c *Clients) Leave() {
	c.leave()
	c.streams.Wait()
}

func (c *Clients) life() time.Duration {
	if c.cfg.Life > 0 {
		return c.cfg.Life
	}
	return 3 * time.Second
}

// Accepted is how many messages were answered accepted or duplicate so far.
func (c *Clients) Accepted() int64 { return c.accepted.Load() }

// Drain has every device take, and ack, all that it is due; those that lose their place come without a cursor. Only after Leave.
func (c *Clients) Drain(ctx context.Context, lose bool) {
	var all sync.WaitGroup
	for _, d := range c.devices {
		all.Go(func() {
			if lose {
				d.lose()
			}
			d.drain(ctx)
		})
	}
	all.Wait()
}

// AddTo adds what everybody saw to a log. Only once all have left.
func (c *Clients) AddTo(l *judge.Log) {
	for _, p := range c.publishers {
		l.Messages = append(l.Messages, p.messages...)
		l.Faults = append(l.Faults, p.calls.faults...)
	}
	for _, d := range c.devices {
		l.Devices = append(l.Devices, d.rec)
		l.Faults = append(l.Faults, d.faults...)
	}
}
