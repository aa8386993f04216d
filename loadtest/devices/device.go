package devices

import (
	"math/rand/v2"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/expect"
	"ramen/loadtest/stats"
	"ramen/protocol"
)

// kind is how a device holds its stream.
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

// state is where a device stands.
//
//	off ──▶ waiting ──▶ queued ──▶ opening ──▶ live
//	 ▲         ▲──────────────────────┴──────────┤
//	 └───────────────── cut ─────────────────────┘
type state uint8

const (
	off     state = iota
	waiting       // until due
	queued        // for its turn to dial
	opening       // until hello, or due
	live
)

// line is what a device's stream is made of.
type line interface {
	cut() // ends it at once, as a network does; nothing more comes of it
}

// Device is one device. Its shard guards it.
type Device struct {
	expect.Device
	sh   *Shard
	line line    // nil: none
	old  *parted // nil: none
	from line    // whose bytes are being taken

	state   state
	kind    kind
	want    bool  // it is to have a stream
	fails   uint8 // openings and short lives in a row
	silent  bool  // the silence under way was reported
	resumes bool  // the opening under way gave a cursor

	interval int32 // of heartbeats, ms
	unacked  int32 // pushes
	seq      uint64
	turn     uint32 // openings
	cursor   []byte

	intended int64 // µs: when the opening was due
	due      int64 // µs: waiting: when to dial. opening: when it has failed. live: when to move on; 0: never
	liveAt   int64 // µs
	heard    int64 // µs: the last byte
	ackDue   int64 // µs; 0: nothing to ack
	cutAt    int64 // µs: of a storm that it is not back from; 0: none
	gone     int64 // µs: when its life ends by churn; 0: it does not
}

// frame takes what is no push.
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
		seq = -1 // it says nothing
	}
	d.Opened(d.sh.cfg.Book, h.Resumed, d.resumes, seq)
	d.interval, d.heard, d.silent = int32(h.HeartbeatMS), now, false
	if d.state != opening {
		return // a poll that was not resumed
	}
	d.sh.opening--
	d.sh.live++
	d.state, d.liveAt, d.due = live, now, 0
	d.seq = uint64(h.Seq)
	d.sh.stats.Opened++
	d.sh.stats.Open.Record(now - d.intended)
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
	d.count(d.Pushed(d.sh.cfg.Book, p.seq, p.id, len(p.cursor) > 0), p)
	if d.kind == pollKind && len(p.cursor) > 0 {
		// The last push of an answer: the next poll is another stream, from this cursor on, whose hello is told only where it
		// was not resumed. Its numbers go on, but what had been pushed to a poll that was just answered may be between.
		d.Opening()
		d.Opened(d.sh.cfg.Book, true, true, -1)
	}
}

func (d *Device) count(a expect.Arrival, p *push) {
	s := &d.sh.stats
	s.Pushes++
	switch a {
	case expect.New:
		s.New++
		d.sh.came(d, p)
	case expect.Again:
		s.Again++
	case expect.Foreign:
		s.Foreign++
	}
}

func (d *Device) beat(int64) { d.sh.stats.Beats++ }

// goAway makes the device move on where the server asks for it. SPEC 2.12
func (d *Device) goAway(g *protocol.GoAway) {
	if d.onOld() {
		return // superseded by the new one
	}
	d.sh.stats.end("goaway "+g.Reason.String(), 1)
	if g.ReconnectMS > 0 && d.state == live {
		d.due = d.sh.now + rand.Int64N(int64(g.ReconnectMS)*1000)
	}
}

// alive says that bytes came. SPEC 2.8
func (d *Device) alive() {
	if d.onOld() {
		return
	}
	gap := d.sh.now - d.heard
	if d.state == live && d.interval > 0 && gap > int64(d.interval)*500 {
		d.sh.stats.Gap.Record(gap)
		d.judge(gap)
	}
	d.heard, d.silent = d.sh.now, false
}

// judge finds silences that break the contract, once each. What this process was late itself is not the server's.
func (d *Device) judge(gap int64) {
	if d.silent || d.kind == pollKind || d.interval == 0 {
		return
	}
	most := int64(d.interval)*1250 + d.sh.cfg.Slack.Microseconds() + d.sh.lag
	if gap > most {
		d.silent = true
		d.sh.cfg.Book.Violate(expect.Heartbeat, d.User, d.Num, "", "silent for %v; the interval is %v",
			(time.Duration(gap) * time.Microsecond).Round(time.Millisecond), time.Duration(d.interval)*time.Millisecond)
	}
}

// ended says that a stream, or its opening, has ended by itself.
func (d *Device) ended(l line, err error) {
	if d.old != nil && l == d.old.line {
		d.leave()
		return
	}
	if d.line == nil || l != d.line {
		return
	}
	d.drop()
	d.sh.stats.end(label(err), 1)
	d.retry()
}

// drop lets go of the line.
func (d *Device) drop() {
	l := d.line
	d.line = nil
	switch d.state {
	case opening:
		d.sh.opening--
	case live:
		d.sh.live--
	}
	d.unacked, d.ackDue, d.state = 0, 0, off
	if l != nil {
		l.cut()
	}
}

// settledAfter is how long a stream lives until its end is no failure. SPEC 2.13
const settledAfter = 30e6 // µs

// retry opens the next stream after a pause by SPEC 2.13.
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
		pause /= 20 // of a storm, the way back is measured, not the pause
	}
	d.fails = min(d.fails+1, 30)
	d.state, d.due = waiting, d.sh.now+pause
	d.intended = d.due
}

func now() int64 { return stats.Now() }
