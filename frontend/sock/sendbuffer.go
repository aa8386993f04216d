package sock

import (
	"fmt"
	"time"
)

// maxChunk is the most room that a chunk gets beyond what it was made for, in bytes.
const maxChunk = 16 << 10

// sendBuffer has what a socket did not take: a queue of copies, made when the first byte waits and dropped when the last is gone.
// It counts too what the socket took beyond its low-water mark (Config.NotSentLowat), until the socket is writable again.
type sendBuffer struct {
	chunks    [][]byte
	n         int           // bytes in chunks
	overLowat int           // bytes that the socket has taken
	since     time.Duration // clock when the first began to wait, or when some last went out
}

// add copies b to the end. Small writes share a chunk, whose room grows with what waits: copying stays linear, and one small
// write costs its own size alone.
func (s *sendBuffer) add(b []byte) {
	if s.buffered() == 0 {
		s.since = clock()
	}
	s.n += len(b)
	if last := len(s.chunks) - 1; last >= 0 {
		c := s.chunks[last]
		room := min(cap(c)-len(c), len(b))
		s.chunks[last] = append(c, b[:room]...)
		b = b[room:]
	}
	if len(b) > 0 {
		c := make([]byte, len(b), max(len(b), min(s.n-len(b), maxChunk)))
		copy(c, b)
		s.chunks = append(s.chunks, c)
	}
}

// drop takes n bytes off the front: they went out.
func (s *sendBuffer) drop(n int) {
	s.n -= n
	s.since = clock()
	for n > 0 {
		head := s.chunks[0]
		if n < len(head) {
			s.chunks[0] = head[n:]
			return
		}
		n -= len(head)
		s.chunks[0] = nil
		s.chunks = s.chunks[1:]
	}
}

// addOverLowat counts n bytes that the socket took and is not writable behind.
func (s *sendBuffer) addOverLowat(n int) {
	s.overLowat = n
	s.since = clock()
}

// dropOverLowat answers how many bytes the socket had taken: it is writable again.
func (s *sendBuffer) dropOverLowat() int {
	n := s.overLowat
	s.overLowat = 0
	if n > 0 {
		s.since = clock()
	}
	return n
}

// takeChunk hands over the first chunk, which is no longer written to. Its bytes count as buffered until sent counts them.
func (s *sendBuffer) takeChunk() []byte {
	head := s.chunks[0]
	s.chunks[0] = nil
	s.chunks = s.chunks[1:]
	return head
}

// sent counts n bytes of taken chunks as gone.
func (s *sendBuffer) sent(n int) {
	s.n -= n
	s.since = clock()
}

// buffered is how many bytes wait, those over the low-water mark included. nil: none.
func (s *sendBuffer) buffered() int {
	if s == nil {
		return 0
	}
	return s.n + s.overLowat
}

// stalled is for how long nothing has gone out. nil: nothing is buffered.
func (s *sendBuffer) stalled() time.Duration {
	if s.buffered() == 0 {
		return 0
	}
	return max(clock()-s.since, 1)
}

// check recounts. Taken chunks are the caller's to count.
func (s *sendBuffer) check() error {
	if s == nil {
		return nil
	}
	n := 0
	for _, c := range s.chunks {
		n += len(c)
	}
	if n > s.n {
		return fmt.Errorf("%d bytes are buffered, counted as %d", n, s.n)
	}
	return nil
}
