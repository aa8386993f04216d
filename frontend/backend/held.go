package backend

import (
	"context"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"ramen/frontend/auth"
	"ramen/frontend/h2"
	"ramen/link"
	"ramen/protocol"
)

// A list may be as large as a mailbox, and its client decides when it is read. So what lists hold is bounded, all together
// (Config.ListBytes), and each has its time.
const (
	listTime     = 30 * time.Second // to read a list, and
	listPace     = 1 << 20          // a second more for so many bytes
	listDraining = time.Second      // to read it once the server drains
	listRetry    = time.Second      // after which a client may ask again that was refused

	listPiece     = 32 << 10 // bytes of a list that are written at once
	listedMessage = 512      // bytes that a message takes in a list while it is made, beside its payload and headers, roughly
	listedDevice  = 512
)

// holdList takes room for a list until the function that it answers is called, or refuses.
func (s *Server) holdList(bytes int64, code protocol.Code) (release func(), _ *protocol.Error) {
	bytes = min(bytes, s.cfg.ListBytes) // alone any list may be read
	if !s.lists.TryAcquire(bytes) {
		e := protocol.Errorf(code, "clients are reading lists of %d bytes, which is the limit; finish reading yours, and retry", s.cfg.ListBytes)
		e.RetryAfter = listRetry
		return nil, e
	}
	return func() { s.lists.Release(bytes) }, nil
}

// encode encodes a piece of a list by f, as one of few: callers of lists who took every processor would hold up publishes.
func (s *Server) encode(f func()) {
	s.encoders <- struct{}{}
	defer func() { <-s.encoders }()
	f()
}

func (s *Server) timeFor(bytes int64) time.Duration {
	return s.listTime + time.Duration(bytes/listPace)*time.Second
}

// messagesBytes and devicesBytes are what a list holds, roughly.
func messagesBytes(messages []*protocol.Message) (n int64) {
	for _, m := range messages {
		n += listedMessage + int64(len(listed(m))+protocol.HeadersSize(m.Headers))
	}
	return n
}

func devicesBytes(devices []link.Device) int64 { return int64(len(devices)) * listedDevice }

// withDeadline gives a list its time to be written to an HTTP client, and the connection back without a deadline.
func (s *Server) withDeadline(w http.ResponseWriter, bytes int64, write func()) {
	c := http.NewResponseController(w)
	_ = c.SetWriteDeadline(time.Now().Add(s.timeFor(bytes))) // a writer without deadlines is a test's
	write()
	if c.Flush() == nil { // what is behind has no deadline
		_ = c.SetWriteDeadline(time.Time{})
	}
}

// listAnswer is the answer to a list over gRPC, encoded. Its bytes are grpc's until the client has taken them.
type listAnswer struct {
	bytes []byte
	gone  chan struct{} // closed when the last byte is written, or the call is over
	once  sync.Once
}

// Get and Put make a listAnswer the pool of its own buffer: it is told when grpc is done with it.
func (*listAnswer) Get(n int) *[]byte { b := make([]byte, n); return &b }
func (a *listAnswer) Put(*[]byte)     { a.once.Do(func() { close(a.gone) }) }

// buffer is the answer for grpc. One that is too small for its pool is copied by then, and no matter.
func (a *listAnswer) buffer() mem.Buffer {
	if mem.IsBelowBufferPoolingThreshold(cap(a.bytes)) {
		a.Put(nil)
	}
	return mem.NewBuffer(&a.bytes, a)
}

// listHandler serves a list as a stream of one answer, which is the same on the wire: so its handler is there until the answer
// is read, and not only until it is made.
func listHandler[In any](c call, request func() In, list func(*service, context.Context, In) (int64, func() proto.Message, *protocol.Error)) grpc.StreamHandler {
	return func(srv any, stream grpc.ServerStream) error {
		g, began, ctx := srv.(*service), time.Now(), stream.Context()
		if err := g.server.allow(authorization(ctx), auth.ScopeRead); err != nil {
			return g.server.done(c, began, err)
		}
		g.server.calls.Add(1)
		defer g.server.calls.Add(-1)
		in := request()
		if err := receive(ctx, stream.RecvMsg, in); err != nil {
			return err
		}
		bytes, answer, err := list(g, ctx, in)
		if err != nil {
			return g.server.done(c, began, err)
		}
		release, err := g.server.holdList(bytes, protocol.CodeResourceExhausted)
		if err != nil {
			return g.server.done(c, began, err)
		}
		defer release()
		var encoded []byte
		var bad error
		g.server.encode(func() { encoded, bad = proto.Marshal(answer()) })
		if bad != nil {
			return g.server.done(c, began, asError(bad))
		}
		if err := g.server.sendList(stream, &listAnswer{bytes: encoded, gone: make(chan struct{})}, bytes); err != nil {
			return err
		}
		return g.server.done(c, began, nil)
	}
}

// sendList sends an answer and waits until grpc holds it no more. A client that does not take it in time loses its connection: grpc
// keeps what was sent on a stream behind whatever could end that stream.
func (s *Server) sendList(stream grpc.ServerStream, a *listAnswer, bytes int64) error {
	ctx := stream.Context()
	_ = grpc.SetSendCompressor(ctx, "identity") // a compressed copy would be another's to hold
	conn := h2.From(ctx)
	if err := stream.SendMsg(a); err != nil {
		return err
	}
	if conn == nil { // a test's: nobody can hang up
		return nil
	}
	late := time.NewTimer(s.timeFor(bytes))
	defer late.Stop()
	over, turn := ctx.Done(), uint32(0)
	for draining := s.draining; ; {
		select {
		case <-a.gone:
			return nil
		case <-conn.Gone():
			return ctx.Err()
		case <-over: // grpc forgets the answer, without a word, unless a write of it is stuck
			over, turn = nil, conn.Turn()
			late.Reset(listDraining)
		case <-draining:
			draining = nil
			late.Reset(listDraining)
		case <-late.C:
			if over == nil && (turn%2 == 0 || conn.Turn() != turn) {
				return ctx.Err()
			}
			s.metrics.unread.Inc()
			_ = conn.Close()
		}
	}
}
