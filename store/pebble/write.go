package pebble

import (
	"errors"
	"fmt"
	"time"

	"ramen/store/pebble/journal"
)

// barrierBytes is what the ops of a group without calls take.
const barrierBytes = 1 + 8

// run writes group by group until close.
func (c *committer) run() {
	defer close(c.ended)
	lazy, armed := time.NewTimer(c.lazySync), false // armed: since the oldest write that is not in the journal
	lazy.Stop()
	defer lazy.Stop()
	idle, waiting := time.NewTimer(markAfter), false // waiting: to mark the journal
	idle.Stop()
	defer idle.Stop()
	for {
		select {
		case <-c.wake:
			c.await()
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

// mark proves the last record.
func (c *committer) mark() {
	if err := c.journal.Mark(); err != nil {
		c.fatal(err)
	}
}

// await leaves the open group open for a moment, if it needs an fsync and can wait for others to share it.
func (c *committer) await() {
	c.mu.Lock()
	lingers := c.linger > 0 && c.open.durable && !c.open.urgent
	if lingers {
		select { // of a group before
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

// drain writes what is left, and all that was saved lazily.
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
	g := c.take()
	c.commit(g)
	if c.spareEffects = g.effects[:0]; cap(g.effects) > keptEffects {
		c.spareEffects = nil
	}
	g.effects = nil
}

// commit writes g, and all that is buffered before it; a group that is not durable joins the buffer.
func (c *committer) commit(g *group) {
	if c.rotate.Swap(false) {
		if _, err := c.journal.Rotate(); err != nil {
			c.fatal(err)
		}
	}
	if g.empty && len(c.buffer) == 0 {
		c.finish(g, nil)
		return
	}
	if !g.durable && !c.fits(len(g.ops)) {
		_ = c.sync() // else the group fails for the same reason
	}
	number := c.journal.Current()
	if !g.durable && c.fits(len(g.ops)) {
		c.buffer = append(c.buffer, g.ops)
		c.bufferBytes += len(g.ops)
	} else {
		var err error
		if number, err = c.write(g.ops); err != nil {
			c.finish(g, err)
			return
		}
		c.metrics.groupCalls.Observe(float64(g.calls))
	}
	c.recent.apply(g.ops, g.effects, number)
	c.finish(g, nil)
}

// fits reports that the buffer may have so many bytes more: as much as the journal has room for in any case. A checkpoint
// could not begin with one that cannot be written, and only checkpoints make room.
func (c *committer) fits(bytes int) bool {
	bytes += c.bufferBytes
	return len(c.buffer) < maxParts && bytes <= c.maxBytes && c.journal.Fits(bytes+barrierBytes)
}

// write brings the buffer, and ops behind it, into the journal. An error means that nothing of it is there.
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

// sync brings the buffer into the journal. Where there is no room for it, it stays, and is tried again.
func (c *committer) sync() error {
	if len(c.buffer) == 0 {
		return nil
	}
	_, err := c.write(nil)
	return err
}
