package judge

import (
	"fmt"
	"slices"

	"ramen/protocol"
)

// ref names a push of a device.
type ref struct{ stream, push int }

// device is the judging of one device: its streams in order, then what it is due.
type device struct {
	*index
	*Device
	report *Report
	pushed map[*entry][]ref // so far
	acks   []confirmed
	lanes  [protocol.Lanes]overtakers
	told   uint32 // expired messages that hellos told of
}

// confirmed is an ack of which the device knows that the server has taken it.
type confirmed struct {
	stream, pushes int
	sent, at       Moment
}

func (d *device) complain(kind Kind, e *entry, format string, args ...any) {
	v := Violation{Kind: kind, User: d.User, Device: d.Name, Text: fmt.Sprintf(format, args...)}
	if e != nil {
		v.ID = e.ID
	}
	if d.isExcused(kind, e) {
		d.report.lose(v)
		return
	}
	d.report.add(v)
}

// walk is the state of one stream's judging.
type walk struct {
	*Stream
	index  int
	seen   map[*entry]bool
	seq    uint64
	hasSeq bool
	// chosen is a time before which the next push cannot have been chosen.
	chosen    Moment
	first     [protocol.Lanes]Moment // the latest first sending among a lane's pushes so far
	choice    [protocol.Lanes]Moment // the latest chosen among them
	chains    map[chain]int
	reach     map[int]int // stream → pushes that its cursor covers; made when first needed
	reachMade bool
}

type chain struct {
	number   int
	priority protocol.Priority
}

// stream judges the stream with the index i.
func (d *device) stream(i int, s *Stream) {
	w := &walk{Stream: s, index: i, seen: make(map[*entry]bool, len(s.Pushes)), seq: s.Seq, hasSeq: s.HasSeq, chosen: s.Opened, chains: make(map[chain]int)}
	d.told += s.Expired
	d.report.Streams++
	if s.Greeted != 0 && s.Resumed != (s.From != Nowhere) && s.From != Nowhere && d.mayBeLost(d.Streams[s.From.Stream].Opened, s.Opened) {
		d.report.lost(Resume)
	} else if s.Greeted != 0 && s.Resumed != (s.From != Nowhere) {
		d.complain(Resume, nil, "stream %d over %s: resumed is %v, opened with the place %+v", i, s.Transport, s.Resumed, s.From)
	}
	if s.Resumed && s.From != Nowhere {
		d.acks = append(d.acks, confirmed{s.From.Stream, s.From.Pushes, s.Opened, s.Greeted})
	}
	for n := range s.Pushes {
		d.push(w, n, &s.Pushes[n])
	}
	d.checkHeld(i, s)
	for _, a := range s.Acks {
		if a.Confirmed != 0 {
			d.acks = append(d.acks, confirmed{i, a.Pushes, a.Sent, a.Confirmed})
		}
	}
}

// checkHeld finds a stream that ended although nothing was done to its server.
func (d *device) checkHeld(i int, s *Stream) {
	if !d.log.Holds || !s.Cut || s.Greeted == 0 || !s.HasSeq { // a poll ends by itself
		return
	}
	if d.during(s.Ended, s.Ended, func(x Span) bool { return slices.Contains(x.Ends, s.Server) }) {
		return
	}
	d.complain(Ended, nil, "stream %d over %s at %s, opened at %v, was ended at %v: %s", i, s.Transport, s.Server, s.Opened, s.Ended, s.End)
}

func (d *device) push(w *walk, n int, p *Push) {
	d.report.Pushes++
	if w.hasSeq && p.Seq != w.seq+1 {
		d.complain(Seq, nil, "stream %d over %s: push %s has seq %d behind %d", w.index, w.Transport, p.ID, p.Seq, w.seq)
	}
	w.seq, w.hasSeq = p.Seq, true
	e := d.entries[name{d.User, p.ID}]
	switch {
	case e == nil || !e.stored:
		d.complain(Stranger, e, "push %s is of no message that was published", p.ID)
		return
	case !e.isFor(d.Device):
		d.complain(Foreign, e, "it is for %+v, not for this device", e.Target)
		return
	case p.Wrong != "":
		d.complain(Content, e, "%s", p.Wrong)
	case p.Priority != e.Priority:
		d.complain(Content, e, "it has the priority %v, not %v", p.Priority, e.Priority)
	}
	if w.seen[e] {
		d.complain(Twice, e, "it came twice on stream %d over %s", w.index, w.Transport)
	}
	w.seen[e] = true
	w.chosen = max(w.chosen, e.first)
	d.checkOrder(w, e)
	d.checkGone(w, e, p)
	d.checkLife(w, e, p)
	d.checkCovered(w, e, p)
	d.pushed[e] = append(d.pushed[e], ref{w.index, n})
	d.note(w, e, p)
}

// checkOrder finds a push that should have come before one that it came behind. SPEC 2.5.1, 2.5.2.
func (d *device) checkOrder(w *walk, e *entry) {
	lane := e.Priority.Lane()
	if e.accepted != 0 {
		if w.first[lane] > e.accepted {
			d.complain(Order, e, "it came behind a message of its priority that was first sent at %v, though it was accepted by %v: stream %d over %s",
				w.first[lane], e.accepted, w.index, w.Transport)
		}
		for lower := lane + 1; lower < protocol.Lanes; lower++ {
			if w.choice[lower] > e.accepted {
				d.complain(Priority, e, "it came behind a message of lower priority chosen at %v or later, though it was accepted by %v: stream %d over %s",
					w.choice[lower], e.accepted, w.index, w.Transport)
			}
		}
	}
	w.first[lane] = max(w.first[lane], e.first)
	w.choice[lane] = w.chosen
	if !e.clean() {
		return
	}
	c := chain{e.Chain, e.Priority}
	if last := w.chains[c]; e.Nth <= last {
		d.complain(Order, e, "it is number %d of chain %d, and came behind number %d: stream %d over %s", e.Nth, e.Chain, last, w.index, w.Transport)
	}
	w.chains[c] = e.Nth
}

// checkGone finds what had been replaced or recalled before the stream was opened. SPEC 9.3.3, 9.3.4.
func (d *device) checkGone(w *walk, e *entry, p *Push) {
	if d.unaware(w.Server, p.At) {
		return
	}
	if e.replaced != 0 && w.Opened > e.replaced {
		d.complain(Replaced, e, "it came at %v on stream %d over %s, opened at %v; %s had replaced it by %v", p.At, w.index, w.Transport, w.Opened, e.replacedBy.ID, e.replaced)
	}
	if e.recalled != 0 && w.Opened > e.recalled {
		d.complain(Recalled, e, "it came at %v on stream %d over %s, opened at %v; it was recalled by %v", p.At, w.index, w.Transport, w.Opened, e.recalled)
	}
}

// checkLife finds a push after its message's end, and an end that the publisher did not ask for. SPEC 2.7.1.
func (d *device) checkLife(w *walk, e *entry, p *Push) {
	if p.ExpiresMS <= w.ServerMS || p.ExpiresMS < d.wallMS(w.chosen)-d.slackMS() {
		d.complain(Expired, e, "it expired at %d ms and was pushed at %d ms or later: stream %d over %s", p.ExpiresMS, max(w.ServerMS, d.wallMS(w.chosen)), w.index, w.Transport)
	}
	if e.TTL == 0 {
		return
	}
	created, latest := p.ExpiresMS-e.TTL.Milliseconds(), e.latest()
	if created < d.wallMS(e.first)-d.slackMS() || (latest != always && created > d.wallMS(latest)+d.slackMS()) {
		d.complain(Life, e, "expires_ms is %d with a ttl of %v, though it was accepted from %d to %d", p.ExpiresMS, e.TTL, d.wallMS(e.first), d.wallMS(min(latest, p.At)))
	}
}

// checkCovered finds a push of what the stream's cursor covers, and of what this same process had been told as acked.
// Acks are saved lazily, so a kill excuses those that no cursor repeats. SPEC 2.3.4.
func (d *device) checkCovered(w *walk, e *entry, p *Push) {
	earlier := d.pushed[e]
	if len(earlier) == 0 {
		return
	}
	d.report.Redelivered++
	if !w.reachMade {
		w.reach, w.reachMade = d.coveredBy(w.Stream), true
	}
	for _, r := range earlier {
		if r.push < w.reach[r.stream] {
			d.complain(Acked, e, "it came on stream %d over %s, whose cursor covers its push on stream %d", w.index, w.Transport, r.stream)
			return
		}
		for _, a := range d.acks {
			if a.stream == r.stream && r.push < a.pushes && a.at < w.Opened && !d.mayForgetAck(a.sent, a.at, p.At) {
				d.complain(Acked, e, "it came on stream %d over %s, though this process had confirmed its ack at %v", w.index, w.Transport, a.at)
				return
			}
		}
	}
}

// coveredBy is how many pushes of which earlier stream s's cursor covers.
func (d *device) coveredBy(s *Stream) map[int]int {
	reach := make(map[int]int)
	for s.Resumed && s.From != Nowhere {
		reach[s.From.Stream] = max(reach[s.From.Stream], s.From.Pushes)
		s = d.Streams[s.From.Stream]
	}
	return reach
}
