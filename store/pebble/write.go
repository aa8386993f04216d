package pebble

import (
	"errors"
	"fmt"
	"time"

	"ramen/store/pebble/journal"
)

// barrierBytes is the size of a group that only has its time.
const barrierBytes = 1 + 8

// run writes group by group until close.
func (c *committer) run() {
	defer close(c.ended)
	lazy, armed := time.NewTimer(c.lazySync), false // armed: the buffer has something
	lazy.Stop()
	defer lazy.Stop()
	idle, waiting := time.NewTimer(markAfter), false // waiting: for markAfter to pass
	idle.Stop()
	defer idle.Stop()
	for {
		select {
		case <-c.wake:
			c.awaitOthers()
			c.commitOpen()
		case <-lazy.C:
			armed = false
			_ = c.sync()
		case <-idle.C:
			if waiting = false; time.Since(c.wroteAt) >= markAfter {
				c.mark()
			}
		case <-c.stop:
			c.drain()
			return
		}
		if left := len(c.buffer) > 0; left != armed {
			if armed = left; left {
				lazy.Reset(c.lazySync)
			} else {
				lazy.Stop()
			}
		}
		if !waiting && c.journal.Unproven() {
			waiting = true
			idle.Reset(markAfter)
		}
	}
}

// mark proves the journal's last record.
func (c *committer) mark() {
	if err := c.journal.Mark(); err != nil {
		c.fatal(err)
	}
}

// awaitOthers waits up to Config.Linger for further calls of the open group, if it needs an fsync and no call of it is urgent.
func (c *committer) awaitOthers() {
	c.mu.Lock()
	lingers := c.linger > 0 && c.open.durable && !c.open.urgent
	if lingers {
		select { // a token left over from the group before
		case <-c.hurry:
		default:
		}
	}
	c.mu.Unlock()
	if !lingers {
		return
	}
	t := time.NewTimer(c.linger)
	defer t.Stop()
	select {
	case <-c.hurry:
	case <-t.C:
	case <-c.stop:
	}
}

// drain writes the open group and the buffer.
func (c *committer) drain() {
	select {
	case <-c.wake:
		c.commitOpen()
	default:
	}
	c.left = c.sync()
}

// commitOpen writes the open group.
func (c *committer) commitOpen() {
	g := c.closeOpen()
	c.commit(g)
	if c.spareEffects = g.effects[:0]; cap(g.effects) > keptEffects {
		c.spareEffects = nil
	}
	g.effects = nil
}

// commit writes the buffer and g; a group that is not durable is appended to the buffer.
func (c *committer) commit(g *group) {
	if c.rotate.Swap(false) {
		if _, err := c.journal.Rotate(); err != nil {
			c.fatal(err)
		}
	}
	if g.empty && len(c.buffer) == 0 {
		c.publish(g, nil)
		return
	}
	if !g.durable && !c.fits(len(g.ops)) {
		_ = c.sync() // if it fails, the group fails for the same reason
	}
	number := c.journal.Current()
	if !g.durable && c.fits(len(g.ops)) {
		c.buffer = append(c.buffer, g.ops)
		c.bufferBytes += len(g.ops)
	} else {
		var err error
		if number, err = c.write(g.ops); err != nil {
			c.publish(g, err)
			return
		}
		c.metrics.groupCalls.Observe(float64(g.calls))
	}
	c.overlay.apply(g.ops, g.effects, number)
	c.publish(g, nil)
}

// fits reports whether so many bytes more may be buffered. The journal must have room for the whole buffer: a checkpoint begins with
// writing it, and only checkpoints free segments.
func (c *committer) fits(bytes int) bool {
	bytes += c.bufferBytes
	return len(c.buffer) < maxParts && bytes <= c.maxBytes && c.journal.Fits(bytes+barrierBytes)
}

// write writes the buffer and ops to the journal. After an error nothing of it is there.
func (c *committer) write(ops []byte) (number uint64, err error) {
	began := time.Now()
	parts := append(c.buffer, ops)
	c.writing.Store(max(1, int64(began.Sub(c.started))))
	number, err = c.journal.Write(parts...)
	c.writing.Store(0)
	took := time.Since(began)
	c.wroteAt = began
	c.metrics.commit.Observe(took.Seconds())
	if took >= slowWrite {
		c.slow(took)
	}
	if errors.Is(err, journal.ErrNoRoom) {
		c.checkpointer.wake()
		return 0, fmt.Errorf("%w: %v", ErrFull, err)
	}
	if err != nil {
		c.fatal(err)
	}
	clear(parts)
	c.buffer, c.bufferBytes = parts[:0], 0
	if c.journal.Wanting() {
		c.checkpointer.wake()
	}
	return number, nil
}

// sync writes the buffer to the journal. If there is no room for it, it stays, and is tried again.
func (c *committer) sync() error {
	if len(c.buffer) == 0 {
		return nil
	}
	_, err := c.write(nil)
	return err
}
