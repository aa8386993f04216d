package conformance

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ramen/protocol"
)

// beat writes heartbeats for as long as the stream lives, unless it is silent. The answer stops it.
func (p *peer) beat(r *run) func() {
	done := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(heartbeatMS / 4 * time.Millisecond) // a busy machine is late
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-p.gone:
				return
			case <-r.ctx.Done():
				return
			case <-t.C:
			}
			r.mu.Lock()
			quiet := p.silent || !p.greeted
			r.mu.Unlock()
			if !quiet && p.poll == nil {
				_ = p.write(p.wire.heartbeat())
			}
		}
	}()
	return func() { close(done); <-ended }
}

// hold keeps the stream until the device ends it or the run is over, so that a script need not end each stream.
func (p *peer) hold() {
	select {
	case <-p.gone:
	case <-p.run.ctx.Done():
		p.cut()
	}
	p.writing.Lock() // what is being written ends first
	defer p.writing.Unlock()
	if p.poll != nil {
		p.poll.drop(true)
		p.run.mu.Lock()
		if p.run.polling == p {
			p.run.polling = nil
		}
		p.run.mu.Unlock()
	}
}

// step does one line of a section.
func (p *peer) step(at int, s Step) error {
	switch s.Verb {
	case "hello":
		return p.hello(at, s)
	case "push", "part", "trickle":
		return p.pushStep(s)
	case "heartbeat":
		return p.say(p.wire.heartbeat)
	case "unknown":
		return p.say(p.wire.unknown)
	case "goaway", "ends", "bare":
		return p.away(s)
	case "cut":
		p.cutStep()
		return nil
	case "end":
		p.finish()
		return nil
	case "silent":
		p.run.mu.Lock()
		p.silent = true
		p.run.mu.Unlock()
		return nil
	case "buffered": // the head of the answer comes, and nothing behind it
		if p.poll != nil {
			return nil
		}
		return p.write(nil)
	}
	return p.expect(s)
}

func (p *peer) say(what func() []byte) error {
	if p.poll != nil {
		return nil // an answer has neither
	}
	return p.write(what())
}

// cutStep waits for a poll to cut.
func (p *peer) cutStep() {
	if p.poll != nil {
		if q, err := p.awaitPoll(); err == nil {
			p.conn = q.conn
			q.finish()
		}
	}
	p.cut()
}

func (p *peer) hello(at int, s Step) error {
	r := p.run
	h := &protocol.Hello{Resumed: s.has("resumed"), Stream: "s" + strconv.Itoa(at+1), HeartbeatMS: uint32(s.number("heartbeat", heartbeatMS)), TimeoutMS: uint32(s.number("timeout", timeoutMS)),
		AckMS: uint32(s.number("ack", ackMS)), TimeMS: time.Now().UnixMilli(), Expired: uint32(s.number("expired", 0)), Cursor: "h-" + strconv.Itoa(at+1)}
	if p.open.is("sse") || p.poll != nil {
		h.AckMS = uint32(s.number("ack", sseAckMS))
	}
	r.mu.Lock()
	if id, ok := strings.CutPrefix(p.open.cursor, "c-"); ok && h.Resumed {
		p.seq = r.seqs[id]
		h.Cursor = p.open.cursor
	} else {
		p.seq = r.last
	}
	h.Seq = p.seq
	p.greeted, r.greeted[at] = true, true
	r.mu.Unlock()
	defer r.changed()
	if p.poll != nil {
		return p.helloPoll(h)
	}
	return p.write(p.wire.hello(h))
}

// pushStep pushes messages whole, a part of one, or one slowly.
func (p *peer) pushStep(s Step) error {
	ids := slices.DeleteFunc(slices.Clone(s.Words), func(w string) bool { return w == "redelivered" })
	if s.Verb == "trickle" {
		ids = ids[:len(ids)-1]
	}
	pushes := make([]protocol.Push, len(ids))
	for i, id := range ids {
		pushes[i] = p.next(id, s)
	}
	switch {
	case p.poll != nil && s.Verb == "part":
		return p.partPoll(pushes)
	case p.poll != nil && s.Verb == "trickle":
		return p.tricklePoll(pushes, s.duration())
	case p.poll != nil:
		return p.answerPoll(pushes, nil)
	}
	var whole []byte
	for i := range pushes {
		b := p.wire.push(&pushes[i])
		var err error
		switch s.Verb {
		case "part":
			err = p.write(b[:len(b)/2])
			p.run.mu.Lock()
			p.silent = true // a heartbeat would stand within it
			p.run.mu.Unlock()
		case "trickle":
			err = p.trickle(b, s.duration())
		default:
			whole = append(whole, b...)
		}
		if err != nil {
			return err
		}
	}
	if len(whole) == 0 {
		return nil
	}
	return p.write(whole) // at once, as a server does: a device may end the stream for the first of them
}

// next is the push of a message.
func (p *peer) next(id string, s Step) protocol.Push {
	r := p.run
	r.mu.Lock()
	defer r.mu.Unlock()
	p.seq += protocol.Seq(1 + s.number("skip", 0))
	r.last = max(r.last, p.seq)
	r.seqs[id] = p.seq
	payload := `"` + id + `"`
	if n := s.number("size", 0); n > 0 {
		payload = `"` + strings.Repeat("x", n-2) + `"`
	}
	now := time.Now().UnixMilli()
	expires := now + time.Hour.Milliseconds()
	if s.Opts["expires"] == "past" {
		expires = now - 1000
	}
	return protocol.Push{Seq: p.seq, Cursor: "c-" + id, Redelivered: s.has("redelivered"), Message: &protocol.Message{
		ID: protocol.MessageID(id), Type: "test", Priority: protocol.PriorityMedium, Payload: []byte(payload), ContentType: protocol.ContentTypeJSON, CreatedMS: now, ExpiresMS: expires}}
}

// trickle writes b in pieces over a while.
func (p *peer) trickle(b []byte, over time.Duration) error {
	const pieces = 20
	r := p.run
	r.mu.Lock()
	p.silent = true
	r.mu.Unlock()
	t := time.NewTicker(over / pieces)
	defer t.Stop()
	for i := range pieces {
		if err := p.write(b[len(b)*i/pieces : len(b)*(i+1)/pieces]); err != nil {
			return err
		}
		select {
		case <-t.C:
		case <-r.ctx.Done():
			return errOver
		}
	}
	r.mu.Lock()
	p.silent = false
	r.mu.Unlock()
	return nil
}

// away says goaway, and with ends what follows it; bare is what follows alone.
func (p *peer) away(s Step) error {
	if code, err := strconv.Atoi(s.word(0)); err == nil && s.Verb == "bare" { // a close code that no reason has
		err := p.write(closeFrame(code, "the scenario says so"))
		p.finish()
		return err
	}
	reason, known := protocol.ParseReason(s.word(0))
	if !known && s.Verb != "goaway" && s.Verb != "ends" {
		return fmt.Errorf("%s is no reason", s.word(0))
	}
	p.run.refuseToken(reason, &p.open)
	if s.Verb != "bare" {
		g := &protocol.GoAway{Reason: reason, ReconnectMS: uint32(s.number("reconnect", 0)), Detail: "the scenario says so"}
		if err := p.sayAway(g, s.word(0), known); err != nil {
			return err
		}
	}
	if s.Verb == "goaway" {
		return nil
	}
	if p.bare != nil && known {
		p.bare(reason, "the scenario says so")
	}
	p.finish()
	return nil
}

// sayAway writes a goaway. One whose reason this contract does not know is made of one that it knows.
func (p *peer) sayAway(g *protocol.GoAway, word string, known bool) error {
	if p.poll != nil {
		return p.answerPoll(nil, g)
	}
	if known {
		return p.write(p.wire.goAway(g))
	}
	stand := "s" + strings.Repeat("z", len(word)-1)
	g.Reason, g.Detail = protocol.ReasonInternal, stand
	if len(word) != len(protocol.ReasonInternal.String()) {
		return fmt.Errorf("an unknown reason has to be as long as %s", protocol.ReasonInternal)
	}
	b := strings.Replace(string(p.wire.goAway(g)), protocol.ReasonInternal.String(), word, 1)
	return p.write([]byte(b))
}

// expect waits for what the device is to do.
func (p *peer) expect(s Step) error {
	r := p.run
	locked := func(is func() bool) func() bool {
		return func() bool { r.mu.Lock(); defer r.mu.Unlock(); return is() }
	}
	switch s.Verb {
	case "acked":
		return r.await(nil, locked(func() bool { return r.acked >= r.seqs[s.word(0)] && r.seqs[s.word(0)] > 0 }))
	case "unacked":
		if locked(func() bool { return r.acked >= r.seqs[s.word(0)] })() {
			return fmt.Errorf("the device has acked %s, which it cannot have processed", s.word(0))
		}
		return nil
	case "echoed":
		if p.poll != nil || p.open.is("sse") {
			return nil
		}
		return r.await(p.gone, locked(func() bool { return p.echoes > 0 }))
	case "refreshed":
		return r.await(p.gone, locked(func() bool { return len(p.tokens) > 0 && p.tokens[len(p.tokens)-1] == s.word(0) }))
	case "left":
		if p.poll != nil {
			return p.pollLeft()
		}
		if err := r.await(p.gone, func() bool {
			select {
			case <-p.gone:
				return true
			default:
				return false
			}
		}); err != nil {
			return err
		}
		if most, err := time.ParseDuration(s.Opts["within"]); err == nil && time.Since(p.open.at) > most+r.slack {
			return fmt.Errorf("the device ended the stream %v after its opening, and %v is the most", time.Since(p.open.at).Round(time.Millisecond), most)
		}
		if s.has("clean") && !locked(func() bool { return p.clean })() {
			return fmt.Errorf("the device ended the stream without saying goodbye")
		}
		return nil
	case "until":
		return r.until(s)
	case "quiet":
		return r.quiet(s.duration())
	}
	return fmt.Errorf("%s is no step", s.Verb)
}

// until waits for another section: stream N opened (its hello written).
func (r *run) until(s Step) error {
	n, err := strconv.Atoi(s.word(1))
	if s.word(0) == "opened" && err == nil {
		return r.await(nil, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.openings) >= n })
	}
	if s.word(0) == "did" && err == nil { // the app has done so many things
		return r.await(nil, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.did >= n })
	}
	if s.word(0) == "acked" {
		id := s.word(1)
		return r.await(nil, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.seqs[id] > 0 && r.acked >= r.seqs[id] })
	}
	if s.word(0) != "stream" || err != nil || n < 1 || n > len(r.greeted) {
		return fmt.Errorf("until is followed by stream, opened or did and a number, or by acked and a message")
	}
	return r.await(nil, func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.greeted[n-1] })
}

func (r *run) quiet(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-r.ctx.Done():
		return errOver
	}
}
