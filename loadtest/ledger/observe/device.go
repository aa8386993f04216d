package observe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/ledger/judge"
	"ramen/protocol"
)

// device keeps its cursor, processes pushes a few at a time, acks now and then, and comes back over another transport each time;
// at times without its cursor, with an old one, after seconds, or while its last stream still stands unread.
type device struct {
	clients *Clients
	rec     *judge.Device
	rng     *rand.Rand
	faults  []string

	cursor    string // of the last push processed
	place     judge.Place
	oldCursor string // one that it had before
	oldPlace  judge.Place
	ghost     wire.Conn // a stream that it no longer reads and has not closed
}

func newDevice(c *Clients, user string, index int, rng *rand.Rand) *device {
	return &device{clients: c, rng: rng, place: judge.Nowhere, oldPlace: judge.Nowhere,
		rec: &judge.Device{User: user, Name: deviceName(index), Context: contexts[index%len(contexts)]}}
}

var transports = []wire.Transport{wire.WSProto, wire.WSJSON, wire.GRPC, wire.SSE, wire.Poll}

func (d *device) fault(format string, args ...any) {
	d.faults = append(d.faults, d.rec.User+"/"+d.rec.Name+": "+fmt.Sprintf(format, args...))
}

// work opens streams until ctx ends; where the device's user sleeps, only while sleepers are awake.
func (d *device) work(ctx context.Context, late time.Duration, sleeps bool) {
	defer d.dropGhost()
	sleep(ctx, late)
	for ctx.Err() == nil {
		if sleeps {
			d.workAwake(ctx)
			continue
		}
		d.workOnce(ctx)
	}
}

// workOnce opens one stream, or polls for a while, and pauses.
func (d *device) workOnce(ctx context.Context) {
	switch d.rng.IntN(20) {
	case 0, 1:
		d.lose()
	case 2:
		d.cursor, d.place = d.oldCursor, d.oldPlace
	case 3, 4, 5:
		d.oldCursor, d.oldPlace = d.cursor, d.place
	}
	life := 100*time.Millisecond + time.Duration(d.rng.ExpFloat64()*float64(d.clients.life()))
	d.open(ctx, life, false)
	pause := time.Duration(d.rng.IntN(30)) * time.Millisecond
	if d.rng.IntN(20) == 0 {
		pause = time.Duration(1+d.rng.IntN(5)) * time.Second
	}
	sleep(ctx, pause)
}

// lose is a crash of the device: it knows its place no longer.
func (d *device) lose() { d.cursor, d.place = "", judge.Nowhere }

// mostDrain bounds how long a device tries to have a stream that lasts until nothing comes any more.
const mostDrain = 2 * time.Minute

// drain opens streams until nothing has come on one for a while.
func (d *device) drain(ctx context.Context) {
	for end := time.Now().Add(mostDrain); !d.open(ctx, d.clients.cfg.Quiet, true); sleep(ctx, retryPause) {
		if ctx.Err() != nil {
			return
		}
		if time.Now().After(end) {
			d.fault("for %v no stream lasted until nothing came any more", mostDrain)
			return
		}
	}
}

// open holds one stream, or one poll after another, for life; with drain until nothing has come for so long, all of it acked. It
// reports whether that came to pass.
func (d *device) open(ctx context.Context, life time.Duration, drain bool) bool {
	at, up := d.clients.servers.AwaitUp(ctx)
	if !up {
		return false
	}
	t := transports[d.rng.IntN(len(transports))]
	if t == wire.Poll {
		return d.polls(ctx, at, life, drain)
	}
	frame := d.frame()
	rec := &judge.Stream{Transport: string(t), Server: at.Devices, Opened: d.clients.cfg.Clock.Now(), From: d.place, HasSeq: true}
	dialer := wire.Dialer{URL: "http://" + at.Devices, GRPC: at.DevicesGRPC}
	opening, cancel := context.WithTimeout(ctx, callTime)
	conn, err := dialer.Dial(opening, t, frame, nil)
	cancel()
	if err != nil {
		d.checkEnd(rec, err)
		return false
	}
	d.rec.Streams = append(d.rec.Streams, rec)
	s := &stream{d: d, conn: conn, rec: rec, index: len(d.rec.Streams) - 1, drain: drain, life: life, left: 20 + d.rng.IntN(3000)}
	if d.clients.cfg.Unread && !drain && d.rng.IntN(8) == 0 {
		s.left, s.unread = 2+d.rng.IntN(50), 500*time.Millisecond+time.Duration(d.rng.Int64N(int64(mostUnread)))
	}
	return s.hold(ctx)
}

func (d *device) frame() *protocol.OpenFrame {
	f := &protocol.OpenFrame{User: protocol.UserID(d.rec.User), Device: protocol.DeviceID(d.rec.Name), Cursor: d.cursor, Context: d.rec.Context}
	if d.rng.IntN(6) == 0 {
		f.Window = uint32(8 + d.rng.IntN(100))
	}
	return f
}

// checkEnd finds ends that neither a killed server nor the device explains.
func (d *device) checkEnd(rec *judge.Stream, err error) {
	told := rec.End != "" // by goaway, before the connection ended
	if !told {
		rec.End = err.Error()
	}
	var end *wire.EndError
	var frame *protocol.FrameError
	switch {
	case errors.As(err, &frame):
		d.fault("over %s: %v", rec.Transport, err)
	case !errors.As(err, &end):
		d.fault("over %s: %v", rec.Transport, err)
	case told:
	default:
		d.checkReason(rec, end.Reason, end.Detail)
	}
}

func (d *device) checkReason(rec *judge.Stream, r protocol.Reason, detail string) {
	switch r {
	case protocol.ReasonNone, protocol.ReasonUnavailable, protocol.ReasonDrain, protocol.ReasonRebalance:
		rec.Cut = true
	}
	switch r {
	case protocol.ReasonDrain, protocol.ReasonRebalance:
		if !d.clients.cfg.Moves {
			d.fault("a stream over %s ended with %v: %s", rec.Transport, r, detail)
		}
	case protocol.ReasonNone, protocol.ReasonUnavailable, protocol.ReasonAckTimeout, protocol.ReasonSuperseded, protocol.ReasonTooSlow, protocol.ReasonResourceExhausted:
	default:
		d.fault("a stream over %s ended with %v: %s", rec.Transport, r, detail)
	}
}

// received writes a push down. shift is how much its number is off by tampering.
func (d *device) received(rec *judge.Stream, p *protocol.Push, shift int) {
	x := judge.Push{At: d.clients.cfg.Clock.Now(), ID: string(p.Message.ID), Seq: uint64(int64(p.Seq) + int64(shift)), ExpiresMS: p.Message.ExpiresMS, Priority: p.Message.Priority}
	if want, kind := payload(x.ID); string(want) != string(p.Message.Payload) || kind != p.Message.ContentType {
		x.Wrong = fmt.Sprintf("its payload is %.100q, %s", p.Message.Payload, p.Message.ContentType)
	}
	rec.Pushes = append(rec.Pushes, x)
}

// processed moves the device's place.
func (d *device) processed(cursor string, p judge.Place) { d.cursor, d.place = cursor, p }

func (d *device) dropGhost() {
	if d.ghost != nil {
		_ = d.ghost.Close()
		d.ghost = nil
	}
}
