package devices

import (
	"context"
	"sync"
	"time"

	"ramen/loadtest/stats"
	"ramen/protocol"
)

// sweepEvery is how often devices are checked for deadlines.
const sweepEvery = 100 * time.Millisecond

// Shard is some of a process's devices, and the goroutine that serves them.
type Shard struct {
	// immutable
	cfg       *Config
	endpoints []*endpoint
	loop      poller // nil: no light streams here
	acks      chan<- sseAck
	ctx       context.Context // ends with the fleet
	streams   *sync.WaitGroup // of those that are not light

	mu       sync.Mutex
	devices  []*Device      // immutable once running, each guarded by mu
	queue    []*Device      // guarded by mu: in the order in which they dial
	pace     pace           // guarded by mu
	opening  int            // guarded by mu
	live     int            // guarded by mu
	stats    Stats          // guarded by mu
	recent   stats.Hist     // guarded by mu: latencies since the last Progress, where Watched
	churn    *Churn         // guarded by mu; nil: devices stay
	now      int64          // guarded by mu: µs, of the event under way
	lag      int64          // guarded by mu: µs by which this process was late recently
	swept    int64          // guarded by mu: µs
	closed   bool           // guarded by mu
	halfOpen []halfOpenConn // guarded by mu: half-open connections, until they are closed
	sources  uint32         // guarded by mu: counts dials, for source addresses

	inflater inflater // guarded by mu
	walker   walker   // guarded by mu: of texts that come
}

// pace is when queued devices dial.
type pace struct {
	rate  float64 // a second; 0: as fast as opening bounds it
	start int64   // µs
	count int64   // since start
}

// enqueue puts d into the queue of those that dial. Called with mu held.
func (s *Shard) enqueue(d *Device) {
	d.state = queued
	if d.intended == 0 {
		d.intended = s.now
	}
	s.queue = append(s.queue, d)
}

// dialMore dials the devices whose turn has come. Called with mu held.
func (s *Shard) dialMore() {
	for len(s.queue) > 0 && s.opening < s.cfg.Opening && !s.closed {
		d := s.queue[0]
		if d.state == queued && d.want {
			if s.pace.rate > 0 {
				at := s.pace.start + int64(float64(s.pace.count)*1e6/s.pace.rate)
				if at > s.now {
					return
				}
				d.intended = at
				s.pace.count++
			}
			s.dial(d)
		} else if d.state == queued {
			d.state = off
		}
		s.queue[0] = nil
		s.queue = s.queue[1:]
	}
	if len(s.queue) == 0 {
		s.queue, s.pace = nil, pace{}
	}
}

// dial opens d's stream. Called with mu held.
func (s *Shard) dial(d *Device) {
	o, err := d.open()
	d.state, d.due, d.unacked, d.ackDue = opening, s.now+s.cfg.Timeout.Microseconds(), 0, 0
	s.opening++
	if err != nil {
		d.conn = &failedConn{}
		d.ended(d.conn, err)
		return
	}
	at := s.nextEndpoint(d)
	if at.light && d.kind <= sseKind {
		s.dialLight(d, at, &o)
		return
	}
	s.dialWired(d, at, &o)
}

type failedConn struct{ _ byte }

func (*failedConn) cut() {}

// late notes how late this process is, before silences are checked. Called with mu held.
func (s *Shard) late() bool {
	late := s.now - s.swept - 2*sweepEvery.Microseconds()
	if s.swept == 0 || late <= s.lag {
		return false
	}
	s.lag = late
	return true
}

// tick does what is due. Called with mu held.
func (s *Shard) tick() {
	if s.closed {
		return
	}
	if s.now-s.swept < sweepEvery.Microseconds() {
		s.dialMore()
		return
	}
	if !s.late() {
		s.lag -= s.lag / 64 // decays within about 10 s
	}
	s.swept = s.now
	for _, d := range s.devices {
		d.sweep(s.now)
	}
	s.closeHalfOpen()
	s.dialMore()
}

// firstArrival records a message that came for the first time. Called with mu held.
func (s *Shard) firstArrival(d *Device, p *push) {
	if t := sentAt(p.payload); t > 0 {
		late := s.now - t
		s.stats.Latency.Record(late)
		d.worst = max(d.worst, late)
		if s.cfg.Watched {
			s.recent.Record(late)
		}
		if s.stats.Over != nil {
			s.stats.Over.Record(s.now, late)
		}
	}
	if d.cutAt != 0 && d.state == live {
		s.stats.Back.Record(s.now - d.cutAt)
		d.cutAt = 0
	}
}

// reopened is called at each hello. Called with mu held.
func (s *Shard) reopened(d *Device) {
	d.intended = 0
	if s.churn != nil {
		d.gone = s.now + s.churn.life()
	}
}

// ackAfter is how long an ack may wait, µs.
func (s *Shard) ackAfter(k kind) int64 {
	if k == sseKind {
		return s.cfg.SSEAck.Microseconds()
	}
	return s.cfg.AckAfter.Microseconds()
}

// halfWindow is how many unacked pushes make an ack due at once. SPEC 2.9.2
func (s *Shard) halfWindow(k kind) int {
	most, _ := k.transport().Kind().Window()
	if s.cfg.Window > 0 {
		most = min(most, s.cfg.Window)
	}
	return max(1, most/2)
}

// ackDue acks. Called with mu held.
func (s *Shard) ackDue(d *Device) {
	switch l := d.conn.(type) {
	case *light:
		if d.kind == sseKind {
			s.ackSSE(d)
		} else {
			l.ack()
		}
	case *wired:
		l.wake(d)
	}
}

func (s *Shard) acked(d *Device) {
	s.stats.Acks++
	d.unacked, d.ackDue = 0, 0
}

// take returns the statistics so far and starts new ones. over > 0 asks for latencies over time, for about that long.
func (s *Shard) take(over time.Duration) Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.devices {
		if d.worst > 0 {
			s.stats.Worst.Record(d.worst)
			d.worst = 0
		}
	}
	taken := s.stats
	s.stats = Stats{}
	if over > 0 {
		s.stats.Over = stats.NewWindows(now(), over)
	}
	return taken
}

func ackFrame(k kind, b []byte, seq uint64) []byte {
	f := protocol.DeviceFrame{Kind: protocol.FrameAck, Seq: protocol.Seq(seq)}
	if k == wsProto {
		return protocol.AppendProtoDeviceFrame(b, &f)
	}
	return protocol.AppendJSONDeviceFrame(b, &f)
}
