package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"ramen/clients/go/wire"
	"ramen/internal/ports"
)

const (
	crashRounds = 5
	crashUsers  = 6
	crashLife   = 1500 * time.Millisecond // the longest life of a process between two kills
)

// crash is one run of TestNothingAcceptedIsLost: what was accepted, and what each device got.
type crash struct {
	t    *testing.T
	seed uint64
	data string

	mu        sync.Mutex
	server    *server
	up        chan struct{}           // guarded by mu: closed while the server is there
	accepted  map[string]*publication // guarded by mu: by id
	unordered map[string]bool         // guarded by mu: ids that were refused once, so that later ones may have gone before them
	devices   []*crashDevice
	progress  chan struct{} // a token: something was accepted or received
}

// publication is a message as its publisher knows it.
type publication struct {
	id, user, device, priority string
	publisher, number          int
	brief                      bool // it may expire before all have it
}

// TestNothingAcceptedIsLost kills the process in the middle of publishing, again and again. Every message that was
// answered `accepted` reaches every device that it is for. SPEC 2.3, 2.5, 2.6, 9.
func TestNothingAcceptedIsLost(t *testing.T) {
	seed := seed(t)
	c := &crash{
		t: t, seed: seed, data: t.TempDir(), up: make(chan struct{}),
		accepted: make(map[string]*publication), unordered: make(map[string]bool), progress: make(chan struct{}, 1),
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	c.restart(addresses{ports.Free(t), ports.Free(t), ports.Free(t), ports.Free(t)})

	ctx, cancel := context.WithCancel(t.Context())
	var streams, publishers sync.WaitGroup
	defer streams.Wait()
	defer cancel()
	c.makeDevices()
	for i, d := range c.devices {
		streams.Go(func() { d.run(ctx, rand.New(rand.NewPCG(seed, uint64(100+i)))) })
	}
	for _, d := range c.devices {
		d.awaitHello()
	}

	publishing, enough := context.WithCancel(ctx)
	defer enough()
	for i := range 4 {
		p := &crashPublisher{c: c, index: i, rng: rand.New(rand.NewPCG(seed, uint64(200+i)))}
		publishers.Go(func() { p.run(publishing, i%2 == 1) })
	}
	for range crashRounds {
		c.awaitAccepted(rng.IntN(800))
		c.after(time.Duration(rng.Int64N(int64(crashLife))))
		c.killed()
		c.restart(c.server.at)
	}
	c.after(crashLife / 2)
	enough()
	publishers.Wait()
	c.awaitDelivered()
	cancel()
	streams.Wait()
	c.finish()
}

// seed is RAMEN_TEST_SEED, or one that is drawn.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if text := os.Getenv("RAMEN_TEST_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("RAMEN_TEST_SEED: %v", err)
		}
	}
	t.Logf("RAMEN_TEST_SEED=%d", s)
	return s
}

// makeDevices gives each user one to three devices.
func (c *crash) makeDevices() {
	for u := range crashUsers {
		for d := range 1 + u%3 {
			c.devices = append(c.devices, newCrashDevice(c, fmt.Sprintf("user-%d", u), fmt.Sprintf("device-%d", d)))
		}
	}
}

func (c *crash) killed() {
	c.mu.Lock()
	c.up = make(chan struct{})
	s := c.server
	c.mu.Unlock()
	s.Kill()
}

func (c *crash) restart(at addresses) {
	begin := time.Now()
	s := start(c.t, append(at.flags(), "--dev", "--data", c.data, "--log.level", "warn")...)
	c.t.Logf("up after %v", time.Since(begin).Round(time.Millisecond))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server = s
	close(c.up)
}

// awaitUp waits until the server is there and answers where.
func (c *crash) awaitUp(ctx context.Context) (addresses, bool) {
	c.mu.Lock()
	up := c.up
	c.mu.Unlock()
	select {
	case <-up:
	case <-ctx.Done():
		return addresses{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server.at, true
}

// after lets the others work for d.
func (c *crash) after(d time.Duration) { <-time.After(d) }

func (c *crash) accept(p *publication) {
	c.mu.Lock()
	c.accepted[p.id] = p
	c.mu.Unlock()
	c.moved()
}

func (c *crash) overtaken(p *publication) {
	c.mu.Lock()
	c.unordered[p.id] = true
	c.mu.Unlock()
}

func (c *crash) moved() {
	select {
	case c.progress <- struct{}{}:
	default:
	}
}

// awaitAccepted waits until n more messages are accepted.
func (c *crash) awaitAccepted(n int) {
	count := func() int {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.accepted)
	}
	goal, late := count()+n, time.After(patience)
	for count() < goal {
		select {
		case <-c.progress:
		case <-late:
			c.t.Fatalf("only %d of %d messages were accepted", count(), goal)
		}
	}
}

// awaitDelivered waits until every device has what is for it.
func (c *crash) awaitDelivered() {
	late := time.After(patience)
	for {
		missing := c.missing()
		if len(missing) == 0 {
			return
		}
		select {
		case <-c.progress:
		case <-late:
			c.t.Fatalf("%d accepted messages are lost: %.2000q", len(missing), missing)
		}
	}
}

// missing are accepted messages that a device has not got, but for those that may have expired.
func (c *crash) missing() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var missing []string
	for _, d := range c.devices {
		d.mu.Lock()
		for _, p := range c.accepted {
			if p.user == d.user && (p.device == "" || p.device == d.device) && !p.brief && !d.got[p.id] {
				missing = append(missing, d.user+"/"+d.device+" "+p.id)
			}
		}
		d.mu.Unlock()
	}
	return missing
}

// finish looks at the counts of the last process, and lets it go.
func (c *crash) finish() {
	for end := time.Now().Add(patience); ; { // they are exact once nothing is under way: the devices' streams have just ended
		status, body := c.server.get(c.t, "/debug/check")
		if status == 200 {
			break
		}
		if time.Now().After(end) {
			c.t.Fatalf("the gauges do not add up: %s", body)
		}
	}
	twice, received := 0, 0
	for _, d := range c.devices {
		twice += d.twice
		received += len(d.got)
	}
	c.t.Logf("%d accepted, %d received by %d devices over %v, %d came twice", len(c.accepted), received, len(c.devices), allTransports, twice)
	c.server.Signal(c.t, syscall.SIGTERM)
	if status := c.server.Wait(c.t); status != 0 {
		c.t.Errorf("exit status %d after SIGTERM, not 0:\n%s", status, c.server.Err)
	}
}

var allTransports = []wire.Transport{wire.WSProto, wire.WSJSON, wire.GRPC, wire.SSE, wire.Poll}
