package devices

import (
	"context"
	"math"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"

	"ramen/loadtest/expect"
	"ramen/loadtest/stats"
)

// Fleet is all devices of a process.
type Fleet struct {
	cfg     Config
	shards  []*Shard
	client  *http.Client
	cancel  context.CancelFunc
	running sync.WaitGroup // shards and ackers
	streams sync.WaitGroup // of wired streams
}

// New makes the devices. None has a stream yet.
func New(cfg Config) (*Fleet, error) {
	cfg.complete(runtime.GOMAXPROCS(0))
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	endpoints, err := cfg.endpoints()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	f := &Fleet{cfg: cfg, cancel: cancel}
	acks := make(chan sseAck, acksQueued)
	for range cfg.Shards {
		s := &Shard{cfg: &f.cfg, endpoints: endpoints, acks: acks, ctx: ctx, streams: &f.streams}
		f.shards = append(f.shards, s)
		if !slices.ContainsFunc(endpoints, func(p *endpoint) bool { return p.light }) {
			continue
		}
		if s.loop, err = newPoller(); err != nil {
			cancel()
			f.closePollers()
			return nil, err
		}
	}
	f.populate()
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig, transport.MaxIdleConnsPerHost = cfg.TLS, ackers
	f.client = &http.Client{Transport: transport, Timeout: cfg.Timeout}
	for range ackers {
		f.running.Go(func() { ackLoop(ctx, f.client, acks) })
	}
	for _, s := range f.shards {
		f.running.Go(func() { s.run(ctx) })
	}
	return f, nil
}

func (f *Fleet) populate() {
	i := 0
	for u := f.cfg.Users[0]; u < f.cfg.Users[1]; u++ {
		s := f.shards[int(u)%len(f.shards)]
		for n := range f.cfg.Each {
			d := &Device{sh: s, kind: kinds[f.cfg.Mix.pick(i)]}
			d.User, d.Num = u, uint8(n)
			s.devices = append(s.devices, d)
			i++
		}
	}
}

// run serves the shard until the fleet is closed.
func (s *Shard) run(ctx context.Context) {
	if s.loop != nil {
		s.loop.run(s)
		return
	}
	for t := time.NewTicker(10 * time.Millisecond); ; {
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
			s.mu.Lock()
			s.now = now()
			s.tick()
			s.mu.Unlock()
		}
	}
}

// Size is how many devices there are.
func (f *Fleet) Size() int { return int(f.cfg.Users[1]-f.cfg.Users[0]) * f.cfg.Each }

// each calls do with each shard locked, and wakes it.
func (f *Fleet) each(do func(s *Shard)) {
	for _, s := range f.shards {
		s.mu.Lock()
		s.now = now()
		do(s)
		s.mu.Unlock()
		if s.loop != nil {
			s.loop.wake()
		}
	}
}

// Connect opens a stream for each device of a part (1: all) that has none: rate a second, or as fast as it goes at 0. It does
// not wait. It returns how many devices should have a stream then.
func (f *Fleet) Connect(rate, part float64) (wanted int) {
	f.each(func(s *Shard) {
		s.pace = pace{rate: rate / float64(len(f.shards)), start: s.now}
		some := s.devices[:int(math.Ceil(float64(len(s.devices))*part-1e-6))]
		wanted += len(some)
		for _, d := range some {
			if d.want = true; d.state == off {
				d.intended = 0
				s.enqueue(d)
			}
		}
	})
	return wanted
}

// Cut closes every stream at once, as a broken network does. With back, devices come back at once, and Back is measured from here.
func (f *Fleet) Cut(back bool) {
	at := now()
	f.each(func(s *Shard) {
		s.pace = pace{}
		s.queue = nil
		for _, d := range s.devices {
			d.cut()
			d.want, d.fails, d.liveAt = back, 0, 0
			if back {
				d.cutAt, d.intended = at, at
				s.enqueue(d)
			}
		}
	})
}

// Live is how many devices have a stream.
func (f *Fleet) Live() int {
	n := 0
	for _, s := range f.shards {
		s.mu.Lock()
		n += s.live
		s.mu.Unlock()
	}
	return n
}

// Away is how many devices are not back from a storm.
func (f *Fleet) Away() int {
	n := 0
	f.devices(func(d *Device) {
		if d.cutAt != 0 {
			n++
		}
	})
	return n
}

// Missing is how many of the messages that sent returns for a user have not come.
func (f *Fleet) Missing(sent func(user uint32) *expect.Lanes) int {
	n := 0
	f.devices(func(d *Device) { n += d.Device.Missing(f.cfg.Expected, sent(d.User)) })
	return n
}

// ReportMissing reports what has not come as lost.
func (f *Fleet) ReportMissing(sent func(user uint32) *expect.Lanes) {
	f.devices(func(d *Device) { d.Device.ReportMissing(f.cfg.Expected, sent(d.User)) })
}

func (f *Fleet) devices(do func(d *Device)) {
	for _, s := range f.shards {
		s.mu.Lock()
		for _, d := range s.devices {
			do(d)
		}
		s.mu.Unlock()
	}
}

// Take returns the statistics since the last call. over > 0 asks for latencies over time from here, for about that long.
func (f *Fleet) Take(over time.Duration) *Stats {
	all := new(Stats)
	for _, s := range f.shards {
		one := s.take(over)
		all.Merge(&one)
	}
	return all
}

// Progress returns how many devices have a stream, and the pushes and unexpected ends since the last Take. It adds the latencies
// since the last Progress to recent.
func (f *Fleet) Progress(recent *stats.Hist) (streams int, pushes, ends int64) {
	for _, s := range f.shards {
		s.mu.Lock()
		streams += s.live
		pushes += s.stats.Pushes
		for _, n := range s.stats.Ends {
			ends += n
		}
		recent.Merge(&s.recent)
		s.recent.Reset()
		s.mu.Unlock()
	}
	return streams, pushes, ends
}

// Close ends every stream and waits for everything.
func (f *Fleet) Close() {
	f.each(func(s *Shard) {
		for _, d := range s.devices {
			d.want = false
			d.cut()
		}
		s.closed = true
		s.closeHalfOpen()
	})
	f.cancel()
	f.streams.Wait()
	f.running.Wait()
	f.client.CloseIdleConnections()
	f.closePollers()
}

func (f *Fleet) closePollers() {
	for _, s := range f.shards {
		if s.loop != nil {
			s.loop.close()
		}
	}
}
