package linkgrpc

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/mem"
)

// codec hands batches to grpc and takes them from it as they are: package frame has written them, and reads them.
type codec struct{}

// Name implements encoding.CodecV2. It is that of grpc's own codec for protobuf, which these bytes are.
func (codec) Name() string { return "proto" }

// Marshal implements encoding.CodecV2.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.(*batch)
	if !ok {
		return nil, fmt.Errorf("linkgrpc: send %T: not a batch", v)
	}
	return mem.BufferSlice{mem.NewBuffer(&b.bytes, b)}, nil
}

// Unmarshal implements encoding.CodecV2. The bytes are the receiver's until it frees them.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*received)
	if !ok {
		return fmt.Errorf("linkgrpc: receive %T: not a batch", v)
	}
	r.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	return nil
}

// received is a batch that came.
type received struct{ buffer mem.Buffer }

// bytes are good until free.
func (r *received) bytes() []byte { return r.buffer.ReadOnlyData() }
func (r *received) free()         { r.buffer.Free() }

// batch is frames on their way out: one message of grpc's.
type batch struct {
	bytes  []byte
	frames int
	sent   chan struct{} // holds a value once grpc needs the bytes no more
}

// batchBytes is where a batch is full: the next frame goes into another. So the largest is that much and one frame.
const batchBytes = 64 << 10

// batches are used again, by all links: one that has grown to its size saves the growing of the next.
var batches = sync.Pool{New: func() any {
	// More than grpc's threshold for pools, or it would not say when it is done.
	return &batch{bytes: make([]byte, 0, 4<<10), sent: make(chan struct{}, 1)}
}}

// keptBytes is the largest batch whose memory is used again.
const keptBytes = 2 * batchBytes

func newBatch() *batch { return batches.Get().(*batch) }

// free takes back a batch that grpc needs no more, and has said so.
func (b *batch) free() {
	if cap(b.bytes) > keptBytes {
		return
	}
	b.bytes, b.frames = b.bytes[:0], 0
	batches.Put(b)
}

// Get and Put make a batch the pool of its own buffer: it is told when grpc is done with it.
func (*batch) Get(n int) *[]byte { b := make([]byte, n); return &b }
func (b *batch) Put(*[]byte) {
	select {
	case b.sent <- struct{}{}:
	default:
	}
}
