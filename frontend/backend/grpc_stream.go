package backend

import (
	"context"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"ramen/frontend/auth"
	"ramen/frontend/grpcend"
	"ramen/protocol"
	"ramen/protocol/grpcstatus"
)

// A PublishStream is two goroutines with a queue between: one reads, decodes and checks; the other takes everything that
// is there, asks the owners for it in one call, and answers each request. So a stream's messages are accepted in the
// order in which they came, whatever it has under way, and the more it has, the more of it shares a call and an fsync.

// publishQueue is what was read of one PublishStream and is not answered yet.
type publishQueue struct {
	requests chan *batch // closed when no more is read
	end      error       // why no more is read; nil: the client has said all. Set before requests is closed

	// owned by the answering goroutine
	first *batch   // was taken from requests, but did not go with the last group
	group []*batch // asked for in one call
}

func (g *service) publishStream(stream grpc.ServerStream) error {
	s := g.server
	key := authorization(stream.Context())
	if err := s.allow(key, auth.ScopePublish); err != nil {
		return s.done(callPublishStream, time.Now(), err)
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	h := s.room.join(remote(ctx), mostStreams, func() { endUnread(stream) })
	if h == nil {
		return s.done(callPublishStream, time.Now(), protocol.Errorf(protocol.CodeResourceExhausted, "the connection has %d publish streams already: use them, or open another connection", mostStreams))
	}
	watch := h.watch()
	defer watch.Stop()
	q := &publishQueue{requests: make(chan *batch, s.cfg.StreamRequests)}
	ended := make(chan struct{})
	defer close(ended)
	reading := s.read(func() {
		defer h.leave(0)
		q.end = s.readPublishes(ctx, stream, h, q.requests)
		close(q.requests)
		<-ended // what the answering goroutine has left is answered no more
	})
	if !reading {
		h.leave(0)
		return s.done(callPublishStream, time.Now(), errDraining())
	}
	return s.answerPublishes(ctx, stream, h, q, key)
}

// remote is the address of a call's client.
func remote(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok {
		return p.Addr.String()
	}
	return ""
}

// endUnread ends a stream whose client does not read, from outside of its goroutines.
func endUnread(stream grpc.ServerStream) {
	grpcend.End(stream.Context(), status.New(codes.ResourceExhausted, "the answers are not read: read them while you send; what is not answered may be sent again, with the same ids"))
}

// watch ends a stream that takes no answer for answersTaken. It is to be stopped.
func (h *holder) watch() *time.Timer {
	var timer *time.Timer
	var mu sync.Mutex // until timer is set
	mu.Lock()
	defer mu.Unlock()
	timer = time.AfterFunc(answersTaken, func() {
		mu.Lock()
		defer mu.Unlock()
		if left := answersTaken - h.waited(); left > 0 {
			timer.Reset(left)
			return
		}
		h.room.endOne(h)
	})
	return timer
}

// readPublishes reads requests until the stream ends or one is wrong as a whole. A full queue, and too many bytes under way, of the
// stream, its connection or the process, stop the reading, and so, by HTTP/2's flow control, the client.
func (s *Server) readPublishes(ctx context.Context, stream grpc.ServerStream, h *holder, to chan<- *batch) error {
	for {
		in := &publishRequest{server: s}
		if err := stream.RecvMsg(in); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if in.err != nil {
			return s.done(callPublishStream, time.Now(), in.err)
		}
		in.batch.began = time.Now()
		if err := h.hold(ctx, in.batch.bytes, streamWindow); err != nil {
			return status.FromContextError(err).Err()
		}
		select {
		case to <- in.batch:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
}

// answerPublishes answers requests in their order, until no more is read or the server drains.
func (s *Server) answerPublishes(ctx context.Context, stream grpc.ServerStream, h *holder, q *publishQueue, key string) error {
	for {
		more, err := s.nextPublishes(ctx, q)
		if !more {
			return err
		}
		refused := s.allow(key, auth.ScopePublish) // the key may have been taken back since
		if refused == nil {
			s.publish(ctx, sideGRPC, q.group...)
		}
		for _, b := range q.group {
			h.give(b.bytes)
		}
		if refused != nil {
			return s.done(callPublishStream, time.Now(), refused)
		}
		h.waits()
		for _, b := range q.group {
			if err := stream.SendMsg(&publishResponse{b.results}); err != nil {
				return err
			}
			s.done(callPublishStream, b.began, nil)
		}
		h.goesOn()
	}
}

// nextPublishes waits for requests and takes all that are there, up to a full batch. False ends the stream.
func (s *Server) nextPublishes(ctx context.Context, q *publishQueue) (bool, error) {
	clear(q.group)
	q.group = q.group[:0]
	if q.first == nil {
		var more bool
		var err error
		if q.first, more, err = s.waitPublish(ctx, q); !more {
			return false, err
		}
	}
	messages, bytes := 0, int64(0)
	for {
		messages += len(q.first.asked)
		bytes += q.first.bytes
		if len(q.group) > 0 && (messages > s.cfg.Publish.MaxBatch || bytes > int64(s.cfg.Publish.MaxBody)) {
			return true, nil // it goes first the next time
		}
		q.group = append(q.group, q.first)
		q.first = nil
		select {
		case b, ok := <-q.requests:
			if !ok {
				return true, nil // found again by the next wait
			}
			q.first = b
		default:
			return true, nil
		}
	}
}

func (s *Server) waitPublish(ctx context.Context, q *publishQueue) (*batch, bool, error) {
	select {
	case b, more := <-q.requests:
		return b, more, endOf(q, more)
	case <-ctx.Done():
		return nil, false, status.FromContextError(ctx.Err()).Err()
	case <-s.draining:
	}
	select { // what was read is still answered
	case b, more := <-q.requests:
		return b, more, endOf(q, more)
	default:
		return nil, false, grpcstatus.CallError(errDraining())
	}
}

// endOf is why reading ended, which may be read once it has.
func endOf(q *publishQueue, more bool) error {
	if more {
		return nil
	}
	return q.end
}

func errDraining() *protocol.Error {
	return protocol.Errorf(protocol.CodeUnavailable, "this server is shutting down: open the stream again, and send what was not answered again with the same ids")
}
