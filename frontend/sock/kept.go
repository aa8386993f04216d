package sock

import (
	"fmt"
	"time"
)

// maxChunk is the most room that a chunk gets beyond what it was made for, in bytes.
const maxChunk = 16 << 10

// kept is what a socket did not take: a queue of copies, made when the first byte is kept and dropped when the last is gone.
// What it took without having room left is counted too, until it has room.
type kept struct {
	chunks [][]byte
	n      int           // bytes in chunks
	sunk   int           // bytes that the socket has taken
	since  time.Duration // clock when the first was kept, or when some last went out
}

// add copies b to the end. Small writes share a chunk, whose room grows with what waits: copying stays linear, and one small
// write costs its own size alone.
func (k *kept) add(b []byte) {
	if k.len() == 0 {
		k.since = clock()
	}
	k.n += len(b)
	if last := len(k.chunks) - 1; last >= 0 {
		c := k.chunks[last]
		room := min(cap(c)-len(c), len(b))
		k.chunks[last] = append(c, b[:room]...)
		b = b[room:]
	}
	if len(b) > 0 {
		c := make([]byte, len(b), max(len(b), min(k.n-len(b), maxChunk)))
		copy(c, b)
		k.chunks = append(k.chunks, c)
	}
}

// drop takes n bytes off the front: they went out.
func (k *kept) drop(n int) {
	k.n -= n
	k.since = clock()
	for n > 0 {
		head := k.chunks[0]
		if n < len(head) {
			k.chunks[0] = head[n:]
			return
		}
		n -= len(head)
		k.chunks[0] = nil
		k.chunks = k.chunks[1:]
	}
}

// sink counts n bytes that the socket took, and has no room behind.
func (k *kept) sink(n int) {
	k.sunk = n
	k.since = clock()
}

// rise answers how many bytes had sunk: the socket has room.
func (k *kept) rise() int {
	n := k.sunk
	k.sunk = 0
	if n > 0 {
		k.since = clock()
	}
	return n
}

// take hands over the first chunk, which is no longer written to. Its bytes stay in n until out counts them.
func (k *kept) take() []byte {
	head := k.chunks[0]
	k.chunks[0] = nil
	k.chunks = k.chunks[1:]
	return head
}

// out counts n bytes of taken chunks as gone.
func (k *kept) out(n int) {
	k.n -= n
	k.since = clock()
}

// len is how many bytes are kept, sunk ones included. nil: none.
func (k *kept) len() int {
	if k == nil {
		return 0
	}
	return k.n + k.sunk
}

// stalled is for how long nothing has gone out. nil: nothing is kept.
func (k *kept) stalled() time.Duration {
	if k.len() == 0 {
		return 0
	}
	return max(clock()-k.since, 1)
}

// check recounts. Taken chunks are the caller's to count.
func (k *kept) check() error {
	if k == nil {
		return nil
	}
	n := 0
	for _, c := range k.chunks {
		n += len(c)
	}
	if n > k.n {
		return fmt.Errorf("%d bytes are kept, counted as %d", n, k.n)
	}
	return nil
}
