package grpc

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"ramen/frontend/admission"
	"ramen/frontend/auth"
	"ramen/frontend/grpcend"
	"ramen/frontend/h2"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/protocol"
	"ramen/protocol/grpcstatus"
	"ramen/protocol/ramenpb"
)

// Stream serves one device.
func (s *Server) Stream(rpc ramenpb.Devices_StreamServer) error {
	end, ok := grpcend.Of(rpc.Context())
	if !ok {
		return status.Error(codes.Internal, "the server was made without GRPCOptions: its streams cannot be ended")
	}
	remote := ""
	p, _ := peer.FromContext(rpc.Context())
	if p != nil {
		remote = p.Addr.String()
	}
	permit, refused := s.Admission.Admit(remote)
	defer permit.Close()
	if refused != nil {
		s.Refusals.Count(refused.Err.Code)
		return refuseFrame(rpc, refused.Reason, refused.Err.Message)
	}
	g := &deviceStream{out: transport.NewByteConn(encoder{})}
	g.conn = conn{rpc: rpc, end: end, h: g}
	g.out.Use(&g.conn)
	if err := s.open(rpc, g, &permit); err != nil {
		return err
	}
	g.receive(rpc)
	return g.conn.status().Err()
}

// open reads the first frame and opens the stream. Its error is the status that the handler returns.
func (s *Server) open(rpc ramenpb.Devices_StreamServer, g *deviceStream, permit *admission.Permit) error {
	timer := time.AfterFunc(s.cfg.OpenTimeout, func() {
		g.conn.end.WriteStatus(status.New(codes.InvalidArgument, "no frame came in time: send open first"))
	})
	var wait h2.Wait
	wait.Begin(rpc.Context())
	var in rawIn
	err := rpc.RecvMsg(&in)
	wait.End()
	timer.Stop()
	switch {
	case errors.Is(err, io.EOF):
		return status.Error(codes.InvalidArgument, "the stream was closed without a frame: send open first")
	case err != nil:
		return err
	}
	q, err := s.firstFrame(rpc, in.b)
	if broken, ok := errors.AsType[*protocol.FrameError](err); ok {
		return status.Error(codes.InvalidArgument, broken.Message)
	}
	if err != nil {
		return s.refuseError(rpc, err)
	}
	h2.Known(rpc.Context())
	g.stream.Init(s.Streams, q, protocol.TransportGRPC, frameWriter{g})
	// The handler's goroutine lives as long as the stream. What opens it needs a deep stack, which would stay: 8 KiB more a stream.
	done := make(chan error, 1)
	go func() { done <- g.start(rpc.Context(), q, permit) }()
	if err := <-done; err != nil {
		return s.refuseError(rpc, err)
	}
	return nil
}

// start opens the stream at its owner and makes it live.
func (g *deviceStream) start(ctx context.Context, q *stream.Request, permit *admission.Permit) error {
	opened, err := g.stream.Open(ctx, q)
	if err != nil {
		return err
	}
	g.stream.Start(opened, permit.Move(), func(h *protocol.Hello) (stream.WriteResult, error) {
		return g.out.WriteHello(transport.Buffer(), h, false), nil
	})
	return nil
}

// firstFrame reads open. Anything else breaks the contract.
func (s *Server) firstFrame(rpc ramenpb.Devices_StreamServer, b []byte) (*stream.Request, error) {
	var f protocol.DeviceFrame
	if err := protocol.DecodeProtoDeviceFrame(b, &f); err != nil {
		return nil, err
	}
	if f.Kind != protocol.FrameOpen {
		return nil, &protocol.FrameError{Message: "the first frame is not open: send open first"}
	}
	authorization := ""
	if md, ok := metadata.FromIncomingContext(rpc.Context()); ok {
		authorization = auth.Credential(md.Get("authorization"))
	}
	return s.Requests.Frame(authorization, &f.Open)
}

// refuseError ends a stream that did not begin.
func (s *Server) refuseError(rpc ramenpb.Devices_StreamServer, err error) error {
	e := transport.ErrorOf(err)
	s.Refusals.Count(e.Code)
	return refuseFrame(rpc, protocol.ReasonOf(e.Code), e.Message)
}

// refuseFrame says goaway and ends. A single frame never waits for flow control.
func refuseFrame(rpc grpc.ServerStream, reason protocol.Reason, detail string) error {
	g := protocol.GoAway{Reason: reason, Detail: detail}
	if reason == protocol.ReasonDrain {
		g.ReconnectMS = uint32(transport.RefusedRetryMS())
	}
	frame := protocol.AppendProtoGoAway(nil, &g)
	if err := rpc.SendMsg(&rawOut{mem.SliceBuffer(frame)}); err != nil {
		return err
	}
	return grpcstatus.StreamEnd(reason, detail).Err()
}
