package frontend

import (
	"net/netip"
	"sync"

	"ramen/frontend/sock"
	"ramen/protocol"
)

// limits counts the streams of the process and, where that is asked for, of each source address. Beyond a bound a new stream
// is refused; one that is open is left alone.
type limits struct {
	cfg   *Config
	clock clock
	most  int // streams

	mu       sync.Mutex
	streams  int    // opening ones included
	all      uint64 // that ever entered
	draining bool
	empty    chan struct{} // closed when the last stream has left a draining server
	opens    bucket
	sources  map[netip.Addr]*source
	busy     int    // of sources, those with streams
	others   source // those that the table has no room for, together
	forgotMS int64  // when idle sources were looked for last
}

// source is one address that streams come from.
type source struct {
	streams int
	opens   bucket
}

// maxSources bounds the sources without a stream: those with one are bounded by the streams. At the bound, those with all their
// opens are forgotten, at most once in forgetMS, since all are looked at; and if that frees nothing, new ones share one entry.
const (
	maxSources = 1 << 16
	forgetMS   = 1000
)

// refusal is why a new stream is not served now.
type refusal struct {
	reason protocol.Reason
	err    *protocol.Error
}

func newLimits(cfg *Config, c clock) *limits {
	most := cfg.MaxStreams
	if most == 0 { // gRPC and HTTP/2 have many streams to an open file: without this they would have no bound
		most = sock.MostConnections()
	}
	return &limits{cfg: cfg, clock: c, most: most, empty: make(chan struct{}), sources: map[netip.Addr]*source{}}
}

// enter counts a new stream, or refuses it. remote is host:port.
func (l *limits) enter(remote string) (*source, *refusal) { return l.enterFrom(l.parse(remote)) }

// parse is the address in remote, where sources are counted; the zero one where there is none.
func (l *limits) parse(remote string) netip.Addr {
	if !l.counts() {
		return netip.Addr{}
	}
	at, _ := netip.ParseAddrPort(remote)
	return at.Addr()
}

// enterFrom is enter for an address that is known as such.
func (l *limits) enterFrom(remote netip.Addr) (*source, *refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.clock.now()
	switch {
	case l.draining:
		return nil, &refusal{protocol.ReasonDrain, protocol.Errorf(protocol.CodeUnavailable, "this server goes away: come back a little later, to another")}
	case l.streams >= l.most:
		return nil, &refusal{protocol.ReasonUnavailable, protocol.Errorf(protocol.CodeUnavailable, "this server has as many streams as it serves: come back a little later")}
	}
	from, refused := l.sourceLocked(remote, now, 1)
	if refused != nil {
		return nil, refused
	}
	if !l.opens.take(now, l.cfg.OpensPerSecond) {
		return nil, &refusal{protocol.ReasonUnavailable, protocol.Errorf(protocol.CodeUnavailable, "more streams are opened on this server than it takes in a second: come back a little later")}
	}
	l.streams++
	l.all++
	if from != nil {
		if from.streams++; from.streams == 1 && from != &l.others {
			l.busy++
		}
	}
	return from, nil
}

// full reports whether there are as many streams as the process serves.
func (l *limits) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams >= l.most
}

// call counts a request that is no stream, such as an ack.
func (l *limits) call(remote string) *refusal {
	from := l.parse(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, refused := l.sourceLocked(from, l.clock.now(), 0)
	return refused
}

// sourceLocked finds the source of remote and asks whether it may have that many more streams. It is nil where none are counted.
func (l *limits) sourceLocked(remote netip.Addr, now int64, more int) (*source, *refusal) {
	if !l.counts() {
		return nil, nil
	}
	from := l.findLocked(remote, now)
	if most := l.cfg.MaxStreamsPerSource; most > 0 && from.streams+more > most {
		return nil, &refusal{protocol.ReasonResourceExhausted, protocol.Errorf(protocol.CodeResourceExhausted, "your address has %d streams open: no more are served to one", most)}
	}
	if rate := l.cfg.OpensPerSecondPerSource; !from.opens.take(now, rate) {
		return nil, &refusal{protocol.ReasonResourceExhausted, protocol.Errorf(protocol.CodeResourceExhausted, "your address asks more than %d times a second: slow down", rate)}
	}
	return from, nil
}

// counts reports whether sources are counted.
func (l *limits) counts() bool {
	return l.cfg.MaxStreamsPerSource != 0 || l.cfg.OpensPerSecondPerSource != 0
}

func (l *limits) findLocked(remote netip.Addr, now int64) *source {
	if !remote.IsValid() {
		return &l.others
	}
	addr := remote.Unmap().WithZone("")
	if addr.Is6() { // a household has a /64
		p, _ := addr.Prefix(64)
		addr = p.Addr()
	}
	if s := l.sources[addr]; s != nil {
		return s
	}
	if l.idleLocked() >= maxSources && now-l.forgotMS >= forgetMS {
		l.forgotMS = now
		l.forgetLocked(now)
	}
	if l.idleLocked() >= maxSources {
		return &l.others
	}
	s := &source{}
	l.sources[addr] = s
	return s
}

func (l *limits) idleLocked() int { return len(l.sources) - l.busy }

func (l *limits) forgetLocked(now int64) {
	for addr, s := range l.sources {
		if s.streams == 0 && now-s.opens.lastMS > 1000 { // its bucket is full again
			delete(l.sources, addr)
		}
	}
}

// exit is the end of a stream that entered.
func (l *limits) exit(from *source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams--
	if from != nil {
		if from.streams--; from.streams == 0 && from != &l.others {
			l.busy--
		}
	}
	l.emptyLocked()
}

// drain refuses new streams from now on.
func (l *limits) drain() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.draining = true
	l.emptyLocked()
}

func (l *limits) emptyLocked() {
	if !l.draining || l.streams > 0 {
		return
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
}

func (l *limits) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.streams
}

func (l *limits) total() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}

// bucket lets rate a second through, with a burst of as many.
type bucket struct {
	used   float64
	lastMS int64
}

func (b *bucket) take(now int64, rate int) bool {
	if rate == 0 {
		return true
	}
	b.used = max(0, b.used-float64(now-b.lastMS)*float64(rate)/1000)
	b.lastMS = now
	if b.used+1 > float64(rate) {
		return false
	}
	b.used++
	return true
}
