package linkgrpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/protocol"
)

// session is a link that stands, at the gateway.
//
// Its reader alone calls the gateway's streams, but for credit that was kept back: that the sender gives.
type session struct {
	*line
	// immutable
	server   *Server
	frontend *frame.Hello
	log      *slog.Logger

	// owned by the reader
	words frame.Words
	parts map[uint64][]link.Publish // of batches that go on

	calls sync.WaitGroup
	mu    sync.Mutex
	// guarded by mu
	streams map[uint64]*serverStream
	cancels map[uint64]context.CancelFunc // of the calls under way, but for publishes
	stalled []*serverStream               // whose credit was kept back
	ended   bool

	exposed atomic.Int64 // bytes of credit that the gateway has and that no push has taken
}

func newSession(s *Server, c conn, frontend *frame.Hello) *session {
	ctx, cancel := context.WithCancelCause(s.ctx)
	l := &session{
		line: newLine(ctx, cancel, &s.cfg.Config, c, s.metrics), server: s, frontend: frontend, log: s.cfg.Log.With("frontend", frontend.From),
		parts: make(map[uint64][]link.Publish), streams: make(map[uint64]*serverStream), cancels: make(map[uint64]context.CancelFunc),
	}
	l.refill = l.giveStalled
	return l
}

// serve serves until the link ends. The reader ends only after this has returned, by which grpc ends its stream.
func (l *session) serve(mine *frame.Hello) error {
	defer l.cancel(nil)
	l.out.put(func(b []byte) []byte { return frame.AppendHello(b, mine) })
	l.metrics.up.Inc()
	l.log.Info("linkgrpc: link is up")
	var helpers sync.WaitGroup
	helpers.Go(func() {
		err := l.send()
		if err == nil {
			err = errClosed
		}
		l.cancel(err)
	})
	helpers.Go(l.watch)
	go func() {
		err := l.read(l.handle)
		if errors.Is(err, io.EOF) {
			err = errClosed // by the frontend, in order
		}
		l.cancel(err)
		l.end()
	}()
	<-l.ctx.Done()
	l.out.drop()
	helpers.Wait()
	switch err := context.Cause(l.ctx); {
	case errors.Is(err, errClosed):
		return nil
	case errors.Is(err, frame.ErrMalformed):
		return status.Error(codes.InvalidArgument, err.Error())
	default:
		return status.Error(codes.Unavailable, err.Error())
	}
}

// end lets go of everything that the link had. It is the reader's last act.
func (l *session) end() {
	err := context.Cause(l.ctx)
	why := l.endReason(err)
	l.metrics.ends.WithLabelValues(why).Inc()
	l.metrics.up.Dec()
	l.log.Info("linkgrpc: link is down", "reason", why, "cause", err)
	l.mu.Lock()
	l.ended = true
	streams, cancels := l.streams, l.cancels
	l.streams, l.cancels, l.stalled = nil, nil, nil
	l.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
	for _, s := range streams {
		l.metrics.streams.Dec()
		l.metrics.lost.Inc()
		s.close(protocol.ReasonUnavailable)
	}
	l.calls.Wait() // opens among them close what they have opened
	l.server.leave(l)
}

func (l *session) endReason(err error) string {
	switch {
	case errors.Is(err, errClosed) || l.server.ctx.Err() != nil:
		return endClosed
	case errors.Is(err, errSilent):
		return endSilent
	case errors.Is(err, errStalled):
		return endStalled
	case errors.Is(err, errOverflow):
		return endOverflow
	case errors.Is(err, errReplaced):
		return endReplaced
	case errors.Is(err, frame.ErrMalformed):
		return endInvalid
	}
	return endBroken
}

// handle takes one frame. It is the reader's.
func (l *session) handle(f *frame.Frame) error {
	switch f.Kind {
	case frame.KindCredit:
		if s := l.stream(f.ID); s != nil {
			s.credit(f.Value)
		}
	case frame.KindStreamAck:
		seq, cursor, err := frame.StreamAck(f.Body)
		if err != nil {
			return err
		}
		if s := l.stream(f.ID); s != nil {
			s.inner.Ack(seq, cursor)
		}
	case frame.KindRefresh:
		c, err := frame.Refresh(f.Body)
		if err != nil {
			return err
		}
		if s := l.stream(f.ID); s != nil {
			s.inner.Refresh(c)
		}
	case frame.KindMeasured:
		if s := l.stream(f.ID); s != nil {
			s.inner.Measured(uint32(f.Value))
		}
	case frame.KindClose:
		l.onClose(f.ID, frame.ReasonOf(f.Value))
	case frame.KindCancel:
		l.mu.Lock()
		cancel := l.cancels[f.ID]
		l.mu.Unlock()
		if cancel != nil {
			cancel()
		}
	case frame.KindPublish:
		return l.onPublish(f)
	default:
		return l.onCall(f)
	}
	return nil
}

// stream is the open stream of that id, or nil.
func (l *session) stream(id uint64) *serverStream {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.streams[id]
	if s == nil {
		l.metrics.dropped.Inc()
	}
	return s
}

// onClose ends a stream for its frontend, or gives up its open.
func (l *session) onClose(id uint64, reason protocol.Reason) {
	l.mu.Lock()
	s, cancel := l.streams[id], l.cancels[id]
	delete(l.streams, id)
	delete(l.cancels, id) // which tells openStream
	l.mu.Unlock()
	switch {
	case s != nil:
		l.metrics.streams.Dec()
		s.close(reason)
	case cancel != nil:
		cancel()
	}
}

// remove takes a stream out that the gateway has ended.
func (l *session) remove(s *serverStream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams[s.id] == s {
		delete(l.streams, s.id)
		l.metrics.streams.Dec()
	}
}
