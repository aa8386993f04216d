package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// slowBody is a body that comes. It holds room for what has come, and not for what its length declares; and it has to come at a
// least rate, from which its first seconds are spared.
type slowBody struct {
	ctx     context.Context
	body    io.Reader
	control *http.ResponseController
	holder  *holder

	began int64 // as clock has it
	came  int64 // bytes, before decompression
	held  int64 // bytes, behind it

	timedOut bool
	late     atomic.Bool // it was cut
}

const (
	bodyRate  = 16 << 10         // bytes a second at least
	bodyGrace = 10 * time.Second // before that is asked for
)

// errNoRoom is that a body has waited for room in vain.
var errNoRoom = errors.New("no room")

// Read implements io.Reader, below decompression.
func (b *slowBody) Read(p []byte) (int, error) {
	due := bodyGrace + time.Duration(b.came)*time.Second/bodyRate - time.Duration(clock()-b.began)
	b.control.SetReadDeadline(time.Now().Add(due))
	b.holder.waits()
	if b.late.Load() { // cut came before this read's deadline was set
		b.control.SetReadDeadline(time.Unix(1, 0))
	}
	n, err := b.body.Read(p)
	b.holder.goesOn()
	b.came += int64(n)
	b.timedOut = errors.Is(err, os.ErrDeadlineExceeded)
	return n, err
}

// cut ends the reading from outside: others need the room.
func (b *slowBody) cut() {
	b.late.Store(true)
	b.control.SetReadDeadline(time.Unix(1, 0))
}

// done takes the deadline away: what follows on the connection has its own. late: the body was cut, or had no time left.
func (b *slowBody) done() (late bool) {
	b.control.SetReadDeadline(time.Time{})
	return b.late.Load() || b.timedOut
}

// piece is what a long body is read into until it is whole, in bytes: a buffer that doubles would hold twice what has come, and leave
// as much behind.
const piece = 64 << 10

var pieces = sync.Pool{New: func() any { return new([piece]byte) }}

// into reads from, which is b or decompresses it, into to, up to limit bytes, and holds room for them.
func (b *slowBody) into(to *bytes.Buffer, from io.Reader, limit int64) error {
	var all []*[piece]byte
	var used int // bytes of the last piece
	defer func() {
		for _, p := range all {
			pieces.Put(p)
		}
	}()
	room := func() []byte {
		if len(all) == 0 && to.Len() < piece {
			to.Grow(bytes.MinRead)
			return to.AvailableBuffer()[:to.Available()]
		}
		if len(all) == 0 || used == piece {
			all, used = append(all, pieces.Get().(*[piece]byte)), 0
		}
		return all[len(all)-1][used:]
	}
	for b.held < limit {
		part := room()
		part = part[:min(int64(len(part)), limit-b.held)]
		n, err := from.Read(part)
		if failed := b.hold(int64(n)); failed != nil {
			return failed
		}
		if len(all) == 0 {
			to.Write(part[:n])
		} else {
			used += n
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	join(to, all, used)
	return nil
}

// join puts pieces behind what is in to; of the last one so many bytes are used.
func join(to *bytes.Buffer, all []*[piece]byte, used int) {
	if len(all) == 0 {
		return
	}
	to.Grow((len(all)-1)*piece + used)
	for _, p := range all[:len(all)-1] {
		to.Write(p[:])
	}
	to.Write(all[len(all)-1][:used])
}

func (b *slowBody) hold(n int64) error {
	if n > 0 && !b.holder.try(n) {
		ctx, cancel := context.WithTimeout(b.ctx, roomWait)
		defer cancel()
		if b.holder.hold(ctx, n, 0) != nil {
			return errNoRoom
		}
	}
	b.held += n
	return nil
}
