package devices

import (
	"math/rand/v2"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/expect"
	"ramen/loadtest/stats"
	"ramen/protocol"
)

// kind is the transport of a device's stream.
type kind uint8

const (
	wsProto kind = iota
	wsJSON
	sseKind
	grpcKind
	pollKind
)

var kinds = map[wire.Transport]kind{wire.WSProto: wsProto, wire.WS: wsProto, wire.WSJSON: wsJSON, wire.SSE: sseKind, wire.GRPC: grpcKind, wire.Poll: pollKind}

func (k kind) transport() wire.Transport {
	return [...]wire.Transport{wire.WSProto, wire.WSJSON, wire.SSE, wire.GRPC, wire.Poll}[k]
}

// state is the state of a device's stream.
//
//	off ──▶ waiting ──▶ queued ──▶ opening ──▶ live
//	 ▲         ▲──────────────────────┴──────────┤
//	 └───────────────── cut ─────────────────────┘
type state uint8

const (
	off     state = iota
	waiting       // for due
	queued        // for its turn to dial
	opening       // for hello, until due
	live
)

// conn is the connection of a stream: light or wired.
type conn interface {
	cut() // closes it at once, as a broken network does; it reports nothing afterwards
}

// Device is one device. Guarded by its shard.
type Device struct {
	expect.Device
	sh   *Shard
	conn conn       // nil: none
	old  *oldStream // nil: none
	from conn       // whose bytes are being read

	state   state
	kind    kind
	want    bool  // it should have a stream
	fails   uint8 // failed openings and short streams in a row
	silent  bool  // the current silence was reported
	resumes bool  // the current opening gave a cursor

	interval int32 // of heartbeats, ms
	unacked  int32 // pushes
	seq      uint64
	turn     uint32 // openings
	cursor   []byte

	intended int64 // µs: when the opening was due; latencies count from here
	due      int64 // µs; waiting: when to dial; opening: when to give up; live: when to open the next stream (0: never)
	liveAt   int64 // µs
	lastByte int64 // µs: when the last byte came
	ackDue   int64 // µs; 0: nothing to ack
	cutAt    int64 // µs: when a storm cut the stream, until the device is back; 0: it is back
	endedAt  int64 // µs: when a stream ended unexpectedly, until the next hello; 0: there is a stream, or there was none
	worst    int64 // µs: the longest latency since the last Take
	gone     int64 // µs: when churn ends the stream; 0: never
}

// frame handles one frame of the server.
func (d *Device) frame(f *protocol.ServerFrame) {
	switch f.Kind {
	case protocol.ServerHello:
		d.hello(&f.Hello)
	case protocol.ServerPush:
		p := of(&f.Push)
		d.push(&p)
	case protocol.ServerHeartbeat:
		d.beat(f.TimeMS)
	case protocol.ServerGoAway:
		d.goAway(&f.GoAway)
	}
}

func (d *Device) hello(h *protocol.Hello) {
	now := d.sh.now
	seq := int64(h.Seq)
	if d.kind == pollKind && seq == 0 {
		seq = -1 // a poll's answer has no seq of its own
	}
	d.Opened(d.sh.cfg.Expected, h.Resumed, d.resumes, seq)
	d.interval, d.lastByte, d.silent = int32(h.HeartbeatMS), now, false
	if d.state != opening {
		return // a poll that was not resumed
	}
	d.sh.opening--
	d.sh.live++
	d.state, d.liveAt, d.due = live, now, 0
	d.seq = uint64(h.Seq)
	d.sh.stats.Opened++
	d.sh.stats.Open.Record(now - d.intended)
	if d.endedAt > 0 {
		d.sh.stats.Return.Record(now - d.endedAt)
		d.endedAt = 0
	}
	d.sh.reopened(d)
}

func (d *Device) push(p *push) {
	if d.onOld() {
		d.pushOld(p)
		return
	}
	d.seq = p.seq
	if len(p.cursor) > 0 {
		d.cursor = append(d.cursor[:0], p.cursor...)
	}
	if d.unacked++; d.ackDue == 0 {
		d.ackDue = d.sh.now + d.sh.ackAfter(d.kind)
	}
	d.count(d.Pushed(d.sh.cfg.Expected, p.seq, p.id, len(p.cursor) > 0), p)
	if d.kind == pollKind && len(p.cursor) > 0 {
		// The last push of an answer: the next poll is another stream, from this cursor on, whose hello is told only where it
		// was not resumed. Its numbers go on, but what had been pushed to a poll that was just answered may be between.
		d.Opening()
		d.Opened(d.sh.cfg.Expected, true, true, -1)
	}
}

func (d *Device) count(a expect.Arrival, p *push) {
	s := &d.sh.stats
	s.Pushes++
	switch a {
	case expect.First:
		s.New++
		d.sh.firstArrival(d, p)
	case expect.Repeated:
		s.Again++
	case expect.Foreign:
		s.Foreign++
	}
}

func (d *Device) beat(int64) { d.sh.stats.Beats++ }

// goAway schedules the next stream within the time that the server gives. SPEC 2.12.6
func (d *Device) goAway(g *protocol.GoAway) {
	if d.onOld() {
		return // superseded by the new one
	}
	d.sh.stats.end("goaway "+g.Reason.String(), 1)
	if g.ReconnectMS > 0 && d.state == live {
		d.due = d.sh.now + rand.Int64N(int64(g.ReconnectMS)*1000)
	}
}

// alive notes that bytes came. SPEC 2.8.2
func (d *Device) alive() {
	if d.onOld() {
		return
	}
	gap := d.sh.now - d.lastByte
	if d.state == live && d.interval > 0 && gap > int64(d.interval)*500 {
		d.sh.stats.Gap.Record(gap)
		d.checkSilence(gap)
	}
	d.lastByte, d.silent = d.sh.now, false
}

// checkSilence reports a silence that breaks SPEC 2.8.2, once. A delay of this process itself (lag) is not the server's.
func (d *Device) checkSilence(gap int64) {
	if d.silent || d.kind == pollKind || d.interval == 0 {
		return
	}
	most := int64(d.interval)*1250 + d.sh.cfg.Slack.Microseconds() + d.sh.lag
	if gap > most {
		d.silent = true
		d.sh.cfg.Expected.Violate(expect.Heartbeat, d.User, d.Num, "", "silent for %v; the interval is %v",
			(time.Duration(gap) * time.Microsecond).Round(time.Millisecond), time.Duration(d.interval)*time.Millisecond)
	}
}

// ended handles a stream or an opening that this side did not end.
func (d *Device) ended(c conn, err error) {
	if d.old != nil && c == d.old.conn {
		d.leave()
		return
	}
	if d.conn == nil || c != d.conn {
		return
	}
	if d.state == live {
		d.endedAt = d.sh.now
	}
	d.drop()
	d.sh.stats.end(label(err), 1)
	d.retry()
}

// drop gives up the connection.
func (d *Device) drop() {
	c := d.conn
	d.conn = nil
	switch d.state {
	case opening:
		d.sh.opening--
	case live:
		d.sh.live--
	}
	d.unacked, d.ackDue, d.state = 0, 0, off
	if c != nil {
		c.cut()
	}
}

// settledAfter is how long a stream must live for the backoff to start anew. SPEC 2.13.2
const settledAfter = 30e6 // µs

// retry schedules the next opening by the backoff of SPEC 2.13.1.
func (d *Device) retry() {
	if !d.want {
		return
	}
	if d.liveAt > 0 && d.sh.now-d.liveAt > settledAfter {
		d.fails = 0
	}
	d.liveAt = 0
	pause := rand.Int64N(int64(min(1<<min(d.fails, 10), 30)) * 1e6)
	if d.cutAt != 0 {
		pause /= 20 // a storm measures how fast devices come back, not how long they wait
	}
	d.fails = min(d.fails+1, 30)
	d.state, d.due = waiting, d.sh.now+pause
	d.intended = d.due
}

func now() int64 { return stats.Now() }
