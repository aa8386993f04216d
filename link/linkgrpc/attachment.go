package linkgrpc

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc"

	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/protocol"
)

// attachment is a link that stands, at the frontend: from the hello until the connection ends. It is not used again.
//
//	standing ──▶ ended: calls under way are answered, then streams are told Lost
//
// Its reader alone calls receivers: that is what makes their calls come in order, and the last of them once.
type attachment struct {
	*line
	// immutable
	link   *Link
	stream grpc.ClientStream
	room   *semaphore.Weighted // for the bytes of calls under way
	done   chan struct{}       // closed when it has ended

	// owned by the reader
	words   frame.Words
	pushes  []protocol.Push
	leaving protocol.Reason // what the gateway said of its end; none: nothing yet

	mu sync.Mutex
	// guarded by mu
	lastID  uint64
	calls   map[uint64]*call
	streams map[uint64]*stream
	moved   []movedStream // that were closed because they go on elsewhere, in order of time
	ended   bool
}

// movedStream is one whose end may still be told, as it was decided before the gateway heard of the move.
type movedStream struct {
	id    uint64
	since time.Time
}

// movedFor is how long a gateway has for that: it tells an end at once.
const movedFor = 10 * time.Second

func newAttachment(ctx context.Context, cancel context.CancelCauseFunc, l *Link, s grpc.ClientStream, gateway *frame.Hello) *attachment {
	cfg := &l.client.cfg
	a := &attachment{
		line: newLine(ctx, cancel, &cfg.Config, s, l.client.metrics), link: l, stream: s, room: semaphore.NewWeighted(int64(cfg.CallBytes)),
		done: make(chan struct{}), calls: make(map[uint64]*call), streams: make(map[uint64]*stream),
	}
	a.onTick = a.forgetMoved
	if gateway.Draining {
		a.leaving = protocol.ReasonDrain
	}
	return a
}

// serve serves until the link ends, and says why it has.
func (a *attachment) serve() error {
	a.metrics.up.Inc()
	a.link.stand(a)
	var helpers sync.WaitGroup
	helpers.Go(func() {
		if err := a.send(); err != nil {
			a.cancel(err)
			return
		}
		_ = a.stream.CloseSend() // in order: the gateway ends the call
	})
	helpers.Go(a.watch)
	err := a.read(a.handle)
	a.cancel(err)
	if cause := context.Cause(a.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	a.link.stand(nil)
	a.metrics.up.Dec()
	a.end(err)
	helpers.Wait()
	close(a.done)
	return err
}

// end answers what waits, and tells streams that they are lost.
func (a *attachment) end(err error) {
	why := a.endReason(err)
	a.metrics.ends.WithLabelValues(why).Inc()
	loss := link.Loss{Reason: protocol.ReasonUnavailable}
	if a.leaving != protocol.ReasonNone {
		loss.Reason = a.leaving
	}
	a.out.drop()
	a.mu.Lock()
	a.ended = true
	calls, streams := a.calls, a.streams
	a.calls, a.streams, a.moved = nil, nil, nil
	a.mu.Unlock()
	for id, c := range calls {
		if c.opening { // its caller is told, and nobody else
			delete(streams, id)
			a.metrics.streams.Dec()
		}
		c.answer.err = errEnded
		c.done <- struct{}{}
	}
	for _, s := range streams {
		a.metrics.streams.Dec()
		if s.state.CompareAndSwap(streamOpen, streamClosed) {
			a.metrics.lost.Inc()
			s.receiver.Lost(s.generation, loss)
		}
	}
}

// endReason is why the link has ended, for the metric.
func (a *attachment) endReason(err error) string {
	switch {
	case a.link.ctx.Err() != nil || a.link.closing.Load():
		return endClosed
	case errors.Is(err, errSilent):
		return endSilent
	case errors.Is(err, errStalled):
		return endStalled
	case errors.Is(err, errOverflow):
		return endOverflow
	case errors.Is(err, frame.ErrMalformed):
		return endInvalid
	case a.leaving != protocol.ReasonNone && errors.Is(err, io.EOF):
		return endDrain
	}
	return endBroken
}

// handle takes one frame. It is the reader's.
func (a *attachment) handle(f *frame.Frame) error {
	switch f.Kind {
	case frame.KindPushes:
		return a.onPushes(f)
	case frame.KindAcked:
		if s := a.open(f.ID); s != nil {
			s.receiver.Acked(s.generation, protocol.Seq(f.Value))
		}
	case frame.KindClosed:
		reason, detail, err := frame.Closed(f.Body)
		if err != nil {
			return err
		}
		if s := a.remove(f.ID); s != nil && s.state.Swap(streamClosed) != streamClosed {
			s.receiver.Closed(s.generation, reason, detail)
		}
	case frame.KindLost:
		l, err := frame.Lost(f.Body)
		if err != nil {
			return err
		}
		if s := a.remove(f.ID); s != nil && s.state.CompareAndSwap(streamOpen, streamClosed) {
			s.receiver.Lost(s.generation, l)
		}
	case frame.KindGoAway:
		reason, err := frame.GoAway(f.Body)
		if err != nil {
			return err
		}
		a.leaving = reason
		a.link.log.Info("linkgrpc: gateway is leaving", "reason", reason)
	case frame.KindOpened, frame.KindResults, frame.KindDone, frame.KindDeviceList, frame.KindMessagePage, frame.KindError:
		return a.onAnswer(f)
	}
	return nil // a heartbeat, or something of a newer version
}

func (a *attachment) onPushes(f *frame.Frame) error {
	s := a.open(f.ID)
	if s == nil {
		return nil
	}
	batch, more, err := frame.Pushes(a.pushes[:0], f.Body, &a.words)
	if err != nil {
		return err
	}
	if len(batch) > 0 {
		s.unacked.Add(int32(len(batch)))
		s.receiver.Push(s.generation, batch, more)
	}
	clear(batch) // messages are the receiver's
	if cap(batch) <= maxKeptPushes {
		a.pushes = batch
	}
	return nil
}

// maxKeptPushes is the largest batch whose slice is used again.
const maxKeptPushes = 256

// onAnswer answers a call.
func (a *attachment) onAnswer(f *frame.Frame) error {
	a.mu.Lock()
	c := a.calls[f.ID]
	delete(a.calls, f.ID)
	if c != nil && c.opening && f.Kind != frame.KindOpened {
		delete(a.streams, f.ID)
		a.metrics.streams.Dec()
	}
	a.mu.Unlock()
	if c == nil { // nobody waits any more
		a.metrics.dropped.Inc()
		return nil
	}
	err := c.answer.read(f)
	c.done <- struct{}{}
	return err
}

// open is the stream of that id, if it is open.
func (a *attachment) open(id uint64) *stream {
	a.mu.Lock()
	s := a.streams[id]
	a.mu.Unlock()
	if s == nil || s.state.Load() != streamOpen {
		a.metrics.dropped.Inc()
		return nil
	}
	return s
}

// remove is the stream of that id, which is none of the link's any more.
func (a *attachment) remove(id uint64) *stream {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.streams[id]
	if s != nil {
		delete(a.streams, id)
		a.metrics.streams.Dec()
	}
	return s
}

// forgetMoved lets go of streams whose gateway has had its time to tell their end.
func (a *attachment) forgetMoved() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.moved) > 0 && time.Since(a.moved[0].since) > movedFor {
		if _, is := a.streams[a.moved[0].id]; is {
			delete(a.streams, a.moved[0].id)
			a.metrics.streams.Dec()
		}
		a.moved = a.moved[1:]
	}
}
