package backend

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
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

// into reads from, which is b or decompresses it, into to, up to limit bytes, and holds room for them.
func (b *slowBody) into(to *bytes.Buffer, from io.Reader, limit int64) error {
	for b.held < limit {
		to.Grow(bytes.MinRead)
		room := to.AvailableBuffer()
		room = room[:min(int64(cap(room)), limit-b.held)]
		n, err := from.Read(room)
		if n > 0 {
			if failed := b.hold(int64(n)); failed != nil {
				return failed
			}
			to.Write(room[:n])
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *slowBody) hold(n int64) error {
	if !b.holder.try(n) {
		ctx, cancel := context.WithTimeout(b.ctx, roomWait)
		defer cancel()
		if b.holder.hold(ctx, n, 0) != nil {
			return errNoRoom
		}
	}
	b.held += n
	return nil
}
