package frontend

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // servers accept gzip. SPEC 7
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"ramen/frontend/admission"
	"ramen/frontend/auth"
	"ramen/frontend/h2"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/protocol"
	"ramen/protocol/grpcstatus"
	"ramen/protocol/ramenpb"
)

const (
	maxDeviceFrame = 64<<10 + 1<<10  // bytes: a device's frame may hold 64 KiB, and protobuf around it
	pingsAtLeast   = 2 * time.Second // clients may ping every 4 s (SPEC 7), and networks move pings together
	prefaceTime    = 5 * time.Second // at most, for TLS and the first frame
	grpcWindow     = 64 << 10        // bytes that a device may have sent and this side not read; the least that there is
	grpcWrites     = 4 << 10         // bytes; shared by the connections, which hold none while idle
	grpcReads      = 512             // bytes, held by each connection: a device's frames are acks and echoes
	grpcHeaders    = 0               // bytes of earlier headers that a connection remembers: a device opens a stream on it, seldom two
)

// devices is the gRPC service of port 8081.
type devices struct {
	ramenpb.UnimplementedDevicesServer
	s *Server
}

// RegisterGRPC adds the Devices service to a server that was made with GRPCOptions.
func (s *Server) RegisterGRPC(r grpc.ServiceRegistrar) {
	ramenpb.RegisterDevicesServer(r, &devices{s: s})
}

// GRPCListener is l, as a server that was made with GRPCOptions is to serve it.
func (s *Server) GRPCListener(l net.Listener) net.Listener {
	return s.guard.Listener(sock.Roomy(l, s.cfg.Sock))
}

// GRPCOptions are what the Devices service needs of its grpc.Server; t is its TLS, nil for cleartext. Devices keep their connection
// alive with pings every 4 s.
func (s *Server) GRPCOptions(t *tls.Config) []grpc.ServerOption {
	return append(s.guard.ServerOptions(t),
		grpc.ForceServerCodecV2(newRawCodec()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAtLeast, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: s.cfg.IdleTimeout, Time: 15 * time.Second, Timeout: 10 * time.Second}),
		grpc.MaxRecvMsgSize(maxDeviceFrame),
		grpc.MaxHeaderListSize(uint32(s.cfg.MaxHeaderBytes)),
		grpc.StaticStreamWindowSize(grpcWindow), // or it grows to megabytes for a device that sends fast
		grpc.StaticConnWindowSize(grpcWindow),
		grpc.WriteBufferSize(grpcWrites),
		grpc.ReadBufferSize(grpcReads),
		grpc.HeaderTableSize(grpcHeaders),
		grpc.ConnectionTimeout(min(s.cfg.ReadHeaderTimeout, prefaceTime)),
	)
}

// Bounds of the port, package h2 has what they are for.
const (
	grpcUnfinished   = 8 << 20 // bytes of frames of devices that have not come to their end; one has 64 KiB at most
	grpcUnknownGrace = 2 * time.Second
	grpcLeastOpens   = 100 // a second that one connection may have, however few streams it may have at once
)

// newGuard is what stands before the gRPC port.
func newGuard(cfg *Config, r prometheus.Registerer) (*h2.Guard, error) {
	return h2.New(cfg.GRPC, h2.Port{
		Name: "devices", Opens: ramenpb.Devices_Stream_FullMethodName,
		Calls: cfg.GRPCStreams, CallsPerSecond: max(cfg.GRPCStreams, grpcLeastOpens),
		Unfinished: grpcUnfinished, Grace: grpcUnknownGrace,
	}, r)
}

// finisher ends a stream from the server's side while its handler is in RecvMsg, which then returns: the status goes out behind
// what was sent. grpc's own streams have it; without it, each stream would need a goroutine more, which costs kilobytes.
type finisher interface {
	WriteStatus(st *status.Status) error
}

// grpcStream is a device's stream over gRPC.
type grpcStream struct {
	stream stream.Stream
	wire   wire
	conn   grpcConn
}

// grpcOutlet is the wire, and ends with a status.
type grpcOutlet struct{ *grpcStream }

func (g grpcOutlet) WritePushes(batch []protocol.Push, more bool) stream.WriteResult {
	return g.wire.WritePushes(batch, more)
}
func (g grpcOutlet) WriteHeartbeat(unixMS int64) stream.WriteResult {
	return g.wire.WriteHeartbeat(unixMS)
}
func (g grpcOutlet) WriteGoAway(a *protocol.GoAway) stream.WriteResult { return g.wire.WriteGoAway(a) }

func (g grpcOutlet) End(reason protocol.Reason, detail string) {
	g.conn.finish(grpcstatus.StreamEnd(reason, detail), false)
}

func (g grpcOutlet) Abort(reason protocol.Reason, detail string) {
	g.conn.finish(grpcstatus.StreamEnd(reason, detail), true)
}

// Read implements sock.Handler; it is not called.
func (g *grpcStream) Read([]byte) {}

// Written implements sock.Handler.
func (g *grpcStream) Written(n int) { g.stream.OnWritten(n) }

// Closed implements sock.Handler; it is not called.
func (g *grpcStream) Closed(error) {}

var _ sock.Handler = (*grpcStream)(nil)

// Stream serves one device.
func (d *devices) Stream(rpc ramenpb.Devices_StreamServer) error {
	end, ok := grpc.ServerTransportStreamFromContext(rpc.Context()).(finisher)
	if !ok {
		return status.Error(codes.Internal, "this transport's streams cannot be ended by the server")
	}
	remote := ""
	p, _ := peer.FromContext(rpc.Context())
	if p != nil {
		remote = p.Addr.String()
	}
	permit, refused := d.s.admission.Admit(remote)
	defer permit.Close()
	if refused != nil {
		d.s.metrics.refused[refused.Err.Code].Inc()
		return refuseFrame(rpc, refused.Reason, refused.Err.Message)
	}
	g := &grpcStream{}
	g.conn = grpcConn{rpc: rpc, end: end, h: g}
	g.wire = wire{conn: &g.conn, enc: grpcEncoder{}}
	if err := d.open(rpc, g, &permit); err != nil {
		return err
	}
	g.receive(rpc)
	return g.conn.status().Err()
}

// open reads the first frame and opens the stream. Its error is the status that the handler returns.
func (d *devices) open(rpc ramenpb.Devices_StreamServer, g *grpcStream, permit *admission.Permit) error {
	timer := time.AfterFunc(d.s.cfg.OpenTimeout, func() {
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
	q, err := d.s.firstFrame(rpc, in.b)
	var broken *protocol.FrameError
	if errors.As(err, &broken) {
		return status.Error(codes.InvalidArgument, broken.Message)
	}
	if err != nil {
		return d.s.refuseError(rpc, err)
	}
	h2.Known(rpc.Context())
	g.stream.Init(d.s.streams, &q.Request, protocol.TransportGRPC, grpcOutlet{g})
	opened, err := g.stream.Open(rpc.Context(), &q.Request)
	if err != nil {
		return d.s.refuseError(rpc, err)
	}
	g.stream.Start(opened, permit.Move(), func(h *protocol.Hello) (stream.WriteResult, error) {
		b := buffers.Get().(*[]byte)
		*b = g.wire.enc.hello(*b, h)
		return g.wire.write(b), nil
	})
	return nil
}

// firstFrame reads open. Anything else breaks the contract.
func (s *Server) firstFrame(rpc ramenpb.Devices_StreamServer, b []byte) (*request, error) {
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
	return s.newFrameRequest(authorization, &f.Open)
}

// refuseError ends a stream that did not begin.
func (s *Server) refuseError(rpc ramenpb.Devices_StreamServer, err error) error {
	e := protocolError(err)
	if c := s.metrics.refused[e.Code]; c != nil {
		c.Inc()
	}
	return refuseFrame(rpc, protocol.ReasonOf(e.Code), e.Message)
}

// refuseFrame says goaway and ends. A single frame never waits for flow control.
func refuseFrame(rpc grpc.ServerStream, reason protocol.Reason, detail string) error {
	g := protocol.GoAway{Reason: reason, Detail: detail}
	if reason == protocol.ReasonDrain {
		g.ReconnectMS = uint32(draw(refusedLeast, refusedMost))
	}
	frame := protocol.AppendProtoGoAway(nil, &g)
	if err := rpc.SendMsg(&rawOut{mem.SliceBuffer(frame)}); err != nil {
		return err
	}
	return grpcstatus.StreamEnd(reason, detail).Err()
}

// receive takes the device's frames until the stream ends.
func (g *grpcStream) receive(rpc grpc.ServerStream) {
	var in rawIn
	for {
		if err := rpc.RecvMsg(&in); err != nil {
			g.ended(err)
			return
		}
		if !g.take(in.b) {
			return
		}
		if cap(in.b) > keptInput {
			in.b = nil
		}
	}
}

// keptInput is the largest buffer that an idle stream keeps for its device's frames, in bytes.
const keptInput = 256

// ended tells the stream why RecvMsg failed.
func (g *grpcStream) ended(err error) {
	switch {
	case errors.Is(err, io.EOF):
		g.stream.OnPeerClose()
	case status.Code(err) == codes.ResourceExhausted: // a frame over the limit
		g.stream.Finish(protocol.ReasonTooBig, status.Convert(err).Message())
	default:
		g.stream.OnGone()
	}
}

// take takes one frame; false where it was the last.
func (g *grpcStream) take(b []byte) bool {
	var f protocol.DeviceFrame
	err := protocol.DecodeProtoDeviceFrame(b, &f)
	if err == nil && f.Kind == protocol.FrameOpen {
		err = &protocol.FrameError{Message: "the stream is open already: open another for another device"}
	}
	var a stream.Acks
	if !g.stream.OnFrame(&f, err, &a) {
		return false
	}
	g.stream.OnAcks(&a)
	return true
}
