package ws

import (
	"errors"
	"fmt"
	"sync"
	"unicode/utf8"
	"unsafe"
)

// Reader decodes the frames of one client. Its zero value is ready for one that has not negotiated deflate.
type Reader struct {
	deflate bool
	ended   bool  // by an error or a close frame: nothing more is decoded
	limit   int32 // 0: MaxMessage
	p       *partial
}

// partial is where a Reader stands while its input ends within a frame or a message.
type partial struct {
	head [maxHeader]byte
	have int // bytes of head that have come

	inFrame bool
	frame   header // its n counts down what is to come
	at      int    // how much of it has come, modulo 4

	message  Opcode // of the fragments in data; 0: none
	deflated bool
	data     []byte

	ctl  [maxControl]byte
	ctlN int
}

var partials = sync.Pool{New: func() any { return new(partial) }}

// mostPooled is the most bytes of a message buffer that go back to the pool with it: a slow sender of a few bytes must not
// hold the buffer of a long message.
const mostPooled = 4 << 10

// NewReader makes a Reader. deflate: permessage-deflate was negotiated. limit is the most bytes of a message; 0: MaxMessage.
func NewReader(deflate bool, limit int) Reader { return Reader{deflate: deflate, limit: int32(limit)} }

// Feed decodes b, and calls on for each whole message (fragments joined, inflated) and each control frame. Payloads are valid
// during the call; b is changed. After an error, which is on's or a *CloseError, and after a close frame, which is checked
// first, further input is dropped.
//
// Empty messages are reported as any other: they are echoes, of either kind. SPEC 6.
func (r *Reader) Feed(b []byte, on func(op Opcode, payload []byte) error) error {
	for len(b) > 0 && !r.ended {
		var err error
		if r.p == nil {
			b, err = r.whole(b, on)
		} else {
			b, err = r.piece(b, on)
		}
		if err != nil {
			r.ended = true
		}
		if r.ended {
			r.release()
			return err
		}
	}
	return nil
}

// Idle says that no message or frame has begun, and no buffer is held.
func (r *Reader) Idle() bool { return r.p == nil }

// Held is how many bytes an incomplete message or frame holds; 0: none has begun.
func (r *Reader) Held() int {
	if r.p == nil {
		return 0
	}
	return int(unsafe.Sizeof(*r.p)) + cap(r.p.data)
}

// Release gives back what an incomplete message holds, where the connection ended within it. Further input is dropped.
func (r *Reader) Release() {
	r.ended = true
	r.release()
}

func (r *Reader) release() {
	if p := r.p; p != nil {
		r.p = nil
		data := p.data[:0]
		if cap(data) > mostPooled {
			data = nil
		}
		*p = partial{data: data}
		partials.Put(p)
	}
}

// whole decodes a frame that is a message, or a control frame, and is all in b, in place. Any other becomes a partial.
func (r *Reader) whole(b []byte, on func(Opcode, []byte) error) ([]byte, error) {
	h, size, err := parseHeader(b, r.deflate)
	if err != nil {
		return nil, err
	}
	if size == 0 || !h.fin || h.op == continuation || uint64(len(b)-size) < h.n {
		r.p = partials.Get().(*partial)
		return b, nil
	}
	if err := r.admit(&h, 0); err != nil {
		return nil, err
	}
	end := size + int(h.n)
	payload := b[size:end:end]
	unmask(payload, h.mask, 0)
	if h.op.control() {
		return b[end:], r.control(h.op, payload, on)
	}
	return b[end:], r.deliver(h.op, payload, h.rsv1, on)
}

// admit checks a data frame's length, which comes after before bytes of the same message.
func (r *Reader) admit(h *header, before int) error {
	limit := r.max()
	most := limit
	if r.deflate { // what does not compress gets longer: 5 bytes a stored block
		most += limit/256 + 64
	}
	if !h.op.control() && (h.n > uint64(most) || before+int(h.n) > most) {
		return tooBig(limit)
	}
	return nil
}

func (r *Reader) max() int {
	if r.limit == 0 {
		return MaxMessage
	}
	return int(r.limit)
}

func tooBig(limit int) error {
	return &CloseError{CodeTooBig, fmt.Sprintf("a message is over %d bytes", limit)}
}

// piece decodes the next part of a frame, up to its end.
func (r *Reader) piece(b []byte, on func(Opcode, []byte) error) ([]byte, error) {
	p := r.p
	if !p.inFrame {
		n := copy(p.head[p.have:], b)
		h, size, err := parseHeader(p.head[:p.have+n], r.deflate)
		if err != nil {
			return nil, err
		}
		if size == 0 {
			p.have += n
			return b[n:], nil
		}
		b = b[size-p.have:]
		if err := r.begin(h); err != nil {
			return nil, err
		}
	}
	n := len(b)
	if uint64(n) > p.frame.n {
		n = int(p.frame.n)
	}
	payload := b[:n]
	unmask(payload, p.frame.mask, p.at)
	p.at = (p.at + n) & 3
	p.frame.n -= uint64(n)
	if p.frame.op.control() {
		p.ctlN += copy(p.ctl[p.ctlN:], payload)
	} else {
		p.data = append(p.data, payload...)
	}
	if p.frame.n > 0 {
		return nil, nil
	}
	return b[n:], r.finish(on)
}

// begin starts a frame.
func (r *Reader) begin(h header) error {
	p := r.p
	switch {
	case h.op.control():
	case h.op == continuation && p.message == 0:
		return protocolErrorf("a continuation has nothing to continue")
	case h.op != continuation && p.message != 0:
		return protocolErrorf("a message begins within another")
	case h.op != continuation:
		p.message, p.deflated = h.op, h.rsv1
	}
	if err := r.admit(&h, len(p.data)); err != nil {
		return err
	}
	p.inFrame, p.frame, p.at, p.have, p.ctlN = true, h, 0, 0, 0
	return nil
}

// finish reports what the frame's end completes.
func (r *Reader) finish(on func(Opcode, []byte) error) error {
	p := r.p
	p.inFrame = false
	var err error
	switch {
	case p.frame.op.control():
		err = r.control(p.frame.op, p.ctl[:p.ctlN], on)
	case p.frame.fin:
		err = r.deliver(p.message, p.data, p.deflated, on)
		p.message, p.data = 0, p.data[:0]
	}
	if p.message == 0 {
		r.release()
	}
	return err
}

// control reports a control frame.
func (r *Reader) control(op Opcode, payload []byte, on func(Opcode, []byte) error) error {
	if op == Close {
		if _, _, err := ParseClose(payload); err != nil {
			return err
		}
		r.ended = true
	}
	return on(op, payload)
}

// deliver reports a message.
func (r *Reader) deliver(op Opcode, payload []byte, deflated bool, on func(Opcode, []byte) error) error {
	if deflated {
		in := inflaters.Get().(*inflater)
		defer in.release()
		var err error
		switch payload, err = in.inflate(payload, r.max()); {
		case errors.Is(err, errTooBig):
			return tooBig(r.max())
		case err != nil:
			return &CloseError{CodeInvalidData, "a compressed message cannot be inflated: " + err.Error()}
		}
	}
	switch {
	case len(payload) > r.max():
		return tooBig(r.max())
	case op == Text && !utf8.Valid(payload):
		return &CloseError{CodeInvalidData, "a text message is not UTF-8"}
	}
	return on(op, payload)
}
