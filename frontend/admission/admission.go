package admission

import (
	"net/netip"
	"sync"
	"time"

	"ramen/frontend/sock"
	"ramen/internal/tool/ratelimit"
	"ramen/protocol"
)

// Control admits streams.
type Control struct {
	// immutable
	limits Limits
	most   int       // streams
	start  time.Time // of the clock

	mu        sync.Mutex
	streams   int    // opening ones included
	all       uint64 // that were ever admitted
	draining  bool
	empty     chan struct{} // closed when the last stream has left a draining server
	opens     ratelimit.Bucket
	sources   map[netip.Addr]*source
	busy      int    // of sources, those with streams
	others    source // those that the table has no room for, together
	uncounted source // all, where sources are not counted
	forgotUS  int64  // when idle sources were last looked for
}

// source is one address that streams come from.
type source struct {
	control *Control
	streams int
	opens   ratelimit.Bucket
}

// maxSources bounds the sources without a stream: those with one are bounded by the streams. At the bound, those with all their
// opens are forgotten, at most once in forgetUS, since all are looked at; and if that frees nothing, new ones share one entry.
const (
	maxSources = 1 << 16
	forgetUS   = 1e6
)

// Permit is one admitted stream. The zero Permit is none.
type Permit struct{ from *source }

// Close counts the stream out. Only the first call does.
func (p *Permit) Close() {
	if from := p.from; from != nil {
		p.from = nil
		from.control.leave(from)
	}
}

// Move hands p over: the caller's is none afterwards.
func (p *Permit) Move() Permit {
	moved := *p
	p.from = nil
	return moved
}

// Refusal is why a new stream is not served now.
type Refusal struct {
	Reason protocol.Reason
	Err    *protocol.Error
}

func refuse(reason protocol.Reason, code protocol.Code, format string, args ...any) *Refusal {
	return &Refusal{reason, protocol.Errorf(code, format, args...)}
}

// New admits streams within l.
func New(l Limits) *Control {
	most := l.MaxStreams
	if most == 0 { // gRPC and HTTP/2 have many streams to an open file: without this they would have no bound
		most = sock.MaxConnections()
	}
	c := &Control{limits: l, most: most, start: time.Now(), empty: make(chan struct{}), sources: map[netip.Addr]*source{}}
	c.others.control, c.uncounted.control = c, c
	return c
}

// nowUS begins at an hour, so that 0 is always long ago.
func (c *Control) nowUS() int64 { return (time.Since(c.start) + time.Hour).Microseconds() }

// Admit counts a new stream, or refuses it. remote is host:port.
func (c *Control) Admit(remote string) (Permit, *Refusal) { return c.AdmitFrom(c.parse(remote)) }

// parse is the address in remote, where sources are counted; the zero one where there is none.
func (c *Control) parse(remote string) netip.Addr {
	if !c.limits.counts() {
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(remote)
	return at.Addr()
}

// AdmitFrom is Admit for an address that is known as such.
func (c *Control) AdmitFrom(remote netip.Addr) (Permit, *Refusal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.nowUS()
	switch {
	case c.draining:
		return Permit{}, refuse(protocol.ReasonDrain, protocol.CodeUnavailable, "this server goes away: come back a little later, to another")
	case c.streams >= c.most:
		return Permit{}, refuse(protocol.ReasonUnavailable, protocol.CodeUnavailable, "this server has reached its limit of streams: try again later")
	}
	from, refused := c.sourceLocked(remote, now, 1)
	if refused != nil {
		return Permit{}, refused
	}
	if rate := c.limits.OpensPerSecond; !take(&c.opens, now, rate) {
		return Permit{}, refuse(protocol.ReasonUnavailable, protocol.CodeUnavailable, "more streams are opened on this server than it takes in a second: come back a little later")
	}
	c.streams++
	c.all++
	if from.streams++; from.streams == 1 && from.listed() {
		c.busy++
	}
	return Permit{from}, nil
}

// listed reports whether s has an entry of its own among the sources.
func (s *source) listed() bool { return s != &s.control.others && s != &s.control.uncounted }

// Full reports whether there are as many streams as the process serves.
func (c *Control) Full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams >= c.most
}

// Call counts a request that is no stream, such as an ack.
func (c *Control) Call(remote string) *Refusal {
	from := c.parse(remote)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, refused := c.sourceLocked(from, c.nowUS(), 0)
	return refused
}

// sourceLocked finds the source of remote and asks whether it may have that many more streams.
func (c *Control) sourceLocked(remote netip.Addr, now int64, more int) (*source, *Refusal) {
	if !c.limits.counts() {
		return &c.uncounted, nil
	}
	from := c.findLocked(remote, now)
	if most := c.limits.MaxStreamsPerSource; most > 0 && from.streams+more > most {
		return nil, refuse(protocol.ReasonResourceExhausted, protocol.CodeResourceExhausted, "your address has %d streams open, which is the limit for one address", most)
	}
	if rate := c.limits.OpensPerSecondPerSource; !take(&from.opens, now, rate) {
		return nil, refuse(protocol.ReasonResourceExhausted, protocol.CodeResourceExhausted, "your address sends more than %d requests per second: slow down", rate)
	}
	return from, nil
}

func (c *Control) findLocked(remote netip.Addr, now int64) *source {
	if !remote.IsValid() {
		return &c.others
	}
	addr := remote.Unmap().WithZone("")
	if addr.Is6() { // a household has a /64
		p, _ := addr.Prefix(64)
		addr = p.Addr()
	}
	if s := c.sources[addr]; s != nil {
		return s
	}
	if c.idleLocked() >= maxSources && now-c.forgotUS >= forgetUS {
		c.forgotUS = now
		c.forgetLocked(now)
	}
	if c.idleLocked() >= maxSources {
		return &c.others
	}
	s := &source{control: c}
	c.sources[addr] = s
	return s
}

func (c *Control) idleLocked() int { return len(c.sources) - c.busy }

func (c *Control) forgetLocked(now int64) {
	for addr, s := range c.sources {
		if s.streams == 0 && s.opens.Full(now) {
			delete(c.sources, addr)
		}
	}
}

// leave is the end of a stream that was admitted.
func (c *Control) leave(from *source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams--
	if from.streams--; from.streams == 0 && from.listed() {
		c.busy--
	}
	c.emptyLocked()
}

// Drain refuses new streams from now on.
func (c *Control) Drain() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.draining = true
	c.emptyLocked()
}

func (c *Control) emptyLocked() {
	if !c.draining || c.streams > 0 {
		return
	}
	select {
	case <-c.empty:
	default:
		close(c.empty)
	}
}

// Empty is closed when the last stream has left a draining server.
func (c *Control) Empty() <-chan struct{} { return c.empty }

// Len is how many streams there are, opening ones included.
func (c *Control) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.streams
}

// Total is how many streams were ever admitted.
func (c *Control) Total() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all
}

// take lets rate a second through, with a burst of as many. A rate of 0 is no limit.
func take(b *ratelimit.Bucket, nowUS int64, rate int) bool {
	_, ok := b.Take(nowUS, float64(rate), rate)
	return ok
}
