package slow

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"
)

// The addresses of the two ends: of a range for tests of networks, RFC 2544, so that nobody's route is hidden.
var (
	NearAddr = netip.MustParseAddr("198.18.0.1")
	FarAddr  = netip.MustParseAddr("198.18.0.2")
)

// Link is two namespaces with the slow link between them: a server is put into Near, devices into Far.
type Link struct {
	Near, Far *Space

	began    time.Time
	down, up *pipe // Near to Far, Far to Near
	tuns     [2]*os.File
	pumps    sync.WaitGroup
	done     chan struct{} // closed by Close
}

// Open makes a link. It needs root, or CAP_SYS_ADMIN and CAP_NET_ADMIN, and /dev/net/tun.
func Open(cfg Config) (*Link, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Link{began: time.Now(), done: make(chan struct{})}
	end := func(i int, own, peer netip.Addr) (*Space, error) {
		return newSpace(func() (err error) {
			l.tuns[i], err = openTUN(own, peer)
			return err
		})
	}
	var err error
	if l.Near, err = end(0, NearAddr, FarAddr); err == nil {
		l.Far, err = end(1, FarAddr, NearAddr)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.down, l.up = newPipe(l, cfg, 0), newPipe(l, cfg, 1)
	return l, nil
}

// Cut drops every packet from now on, in both directions, as a phone in a tunnel does: nobody is told.
func (l *Link) Cut() {
	for _, p := range []*pipe{l.down, l.up} {
		p.mu.Lock()
		p.queue.cut = true
		p.mu.Unlock()
	}
}

// Stats is what came down (Near to Far) and went up so far.
func (l *Link) Stats() (down, up Stats) { return l.down.look(), l.up.look() }

// Close ends the link.
func (l *Link) Close() error {
	var errs []error
	close(l.done)
	for _, t := range l.tuns {
		if t != nil {
			errs = append(errs, t.Close()) // ends the reads
		}
	}
	l.pumps.Wait()
	for _, s := range []*Space{l.Near, l.Far} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// packet is one on its way.
type packet struct {
	due  time.Duration
	data []byte
}

// pipe is one direction.
type pipe struct {
	link     *Link
	from, to *os.File
	way      chan packet // bounded by what the queue and the delay can hold

	mu    sync.Mutex
	queue *queue // guarded by mu
}

func newPipe(l *Link, cfg Config, from int) *pipe {
	p := &pipe{link: l, from: l.tuns[from], to: l.tuns[1-from], queue: newQueue(cfg, uint64(from))}
	onTheWay := cfg.QueueBytes + int(cfg.RTT.Milliseconds())*cfg.RateKbit/8/2
	p.way = make(chan packet, onTheWay/smallest+16)
	l.pumps.Go(p.read)
	l.pumps.Go(p.write)
	return p
}

// smallest is the smallest packet of TCP, in bytes.
const smallest = 40

// read takes packets until the device is closed.
func (p *pipe) read() {
	defer close(p.way)
	buf := make([]byte, mtu)
	for {
		n, err := p.from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		due, ok := p.queue.admit(time.Since(p.link.began), n)
		p.mu.Unlock()
		if !ok {
			continue
		}
		select {
		case p.way <- packet{due, append([]byte(nil), buf[:n]...)}:
		case <-p.link.done:
			return
		}
	}
}

// write hands each packet over when it is due: they are due in their order.
func (p *pipe) write() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for k := range p.way {
		if wait := k.due - time.Since(p.link.began); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-p.link.done:
				return
			}
		}
		_, _ = p.to.Write(k.data) // a device that is down loses it, as a link does
	}
}

func (p *pipe) look() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queue.stats
}
