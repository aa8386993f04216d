package ws

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// deflateTail ends a flushed deflate stream: the sender cuts it off, the receiver puts it back. RFC 7692 7.2.1.
const deflateTail = "\x00\x00\xff\xff"

// finalBlock is an empty last block: without one a decoder waits for more.
const finalBlock = "\x01\x00\x00\xff\xff"

// deflated is a compressed payload in a pooled buffer.
type deflated struct{ b []byte }

var deflates = sync.Pool{New: func() any { return new(deflated) }}

// Write implements io.Writer for the compressor.
func (d *deflated) Write(b []byte) (int, error) {
	d.b = append(d.b, b...)
	return len(b), nil
}

func (d *deflated) release() {
	if cap(d.b) <= MaxMessage {
		deflates.Put(d)
	}
}

// deflatePayload compresses payload; nil: that does not make it shorter. The compressor keeps nothing between messages, which
// is what no_context_takeover asks for, and takes no more than some KB from a pool.
func deflatePayload(payload []byte) *deflated {
	d := deflates.Get().(*deflated)
	d.b = d.b[:0]
	err := flate.StatelessDeflate(d, payload, false, nil)
	b, ok := bytes.CutSuffix(d.b, []byte(deflateTail))
	if d.b = b; err != nil || !ok || len(b) >= len(payload) {
		d.release()
		return nil
	}
	return d
}

var errTooBig = errors.New("inflated message is too big")

// inflater decompresses messages, one at a time.
type inflater struct {
	in  []byte
	src bytes.Reader
	z   io.ReadCloser
	out []byte
}

var inflaters = sync.Pool{New: func() any {
	i := &inflater{out: make([]byte, 0, 1<<10)}
	i.z = flate.NewReader(&i.src)
	return i
}}

// inflate decompresses payload to at most limit bytes, valid until release. Memory follows what comes out, never over limit + 1.
func (i *inflater) inflate(payload []byte, limit int) ([]byte, error) {
	i.in = append(append(append(i.in[:0], payload...), deflateTail...), finalBlock...)
	i.src.Reset(i.in)
	if err := i.z.(flate.Resetter).Reset(&i.src, nil); err != nil {
		return nil, err
	}
	for i.out = i.out[:0]; ; {
		if len(i.out) == cap(i.out) {
			if len(i.out) > limit {
				return nil, errTooBig
			}
			grown := make([]byte, len(i.out), min(2*cap(i.out), max(limit+1, len(i.out)+1)))
			copy(grown, i.out)
			i.out = grown
		}
		n, err := i.z.Read(i.out[len(i.out):cap(i.out)])
		i.out = i.out[:len(i.out)+n]
		switch {
		case len(i.out) > limit:
			return nil, errTooBig
		case err == io.EOF:
			return i.out, nil
		case err != nil:
			return nil, err
		}
	}
}

func (i *inflater) release() {
	if cap(i.in) <= 2*MaxMessage && cap(i.out) <= 2*MaxMessage {
		inflaters.Put(i)
	}
}
