package backend

import (
	"context"
	"crypto/tls"
	"net"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"ramen/frontend/auth"
	"ramen/frontend/grpcend"
	"ramen/frontend/h2"
	"ramen/internal/tool/tcpconn"
	"ramen/protocol"
	"ramen/protocol/grpcstatus"
	"ramen/protocol/ramenpb"
)

// GRPCListener is l, as a server that was made with GRPCOptions is to serve it.
func (s *Server) GRPCListener(l net.Listener) net.Listener {
	return s.guard.Listener(tcpconn.Listener(l))
}

// GRPCOptions are what a grpc.Server needs to serve Backend: its codec and the bounds of connections and requests; t is its TLS,
// nil for cleartext. SPEC 7.
func (s *Server) GRPCOptions(t *tls.Config) []grpc.ServerOption {
	return append(s.guard.ServerOptions(t),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAtLeast, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: deadAfter, Timeout: deadAfter / 2}),
		grpc.ConnectionTimeout(prefaceTime),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxRecvMsgSize(s.cfg.Publish.MaxBody), // over it: RESOURCE_EXHAUSTED, by grpc itself
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
	)
}

const (
	pingsAtLeast = 2 * time.Second  // clients may ping every 4 s (SPEC 7), and networks move pings together
	deadAfter    = 40 * time.Second // without a byte a connection is pinged: it may have died without a word
	prefaceTime  = 5 * time.Second  // for TLS and the first frame
	maxHeaders   = 32 << 10         // bytes of a call's metadata
)

// streamWindow and connWindow are what a backend may send ahead of what was read, in bytes: of calls that are not read it is memory.
// With a fixed window grpc-go does not measure what the way there takes, which is a ping to answer for every batch that comes;
// 256 KiB is 250 MiB/s at 1 ms, and 2.5 MiB/s at 100 ms. A message that is longer gets the window that it needs.
const (
	streamWindow = 256 << 10
	connWindow   = 4 << 20
)

// Bounds of the port; package h2 has what they are for.
const (
	unfinishedBytes = 64 << 20
	unknownGrace    = 250 * time.Millisecond
)

// newGuard is what stands before the gRPC port.
func (s *Server) newGuard(reg prometheus.Registerer) (*h2.Guard, error) {
	return h2.New(s.cfg.GRPC, h2.Port{
		Name: "backends", Calls: s.cfg.GRPCStreams,
		Unfinished: max(min(unfinishedBytes, int(s.cfg.BytesUnderWay)), 2*s.cfg.Publish.MaxBody), Grace: unknownGrace, Admit: s.admit,
	}, reg)
}

// methods are the calls and what they need.
var methods = map[string]struct {
	call  call
	scope auth.Scope
}{
	ramenpb.Backend_Publish_FullMethodName:       {callPublish, auth.ScopePublish},
	ramenpb.Backend_PublishStream_FullMethodName: {callPublishStream, auth.ScopePublish},
	ramenpb.Backend_ListDevices_FullMethodName:   {callDevices, auth.ScopeRead},
	ramenpb.Backend_ListMessages_FullMethodName:  {callMessages, auth.ScopeRead},
	ramenpb.Backend_Recall_FullMethodName:        {callRecall, auth.ScopePublish},
	ramenpb.Backend_Disconnect_FullMethodName:    {callDisconnect, auth.ScopePublish},
}

// admit refuses calls without a good key before grpc makes anything of them. A key without the scope is good: its call is told so.
func (s *Server) admit(_ context.Context, in *tap.Info) (known bool, _ error) {
	m, ok := methods[in.FullMethodName]
	if !ok {
		return false, nil
	}
	key := auth.Credential(in.Header.Get("authorization"))
	began := time.Now()
	if err := s.allow(key, m.scope); err != nil && err.Code != protocol.CodePermissionDenied {
		return false, s.done(m.call, began, err)
	}
	return true, nil
}

// RegisterGRPC adds the Backend service to r, a grpc.Server made with GRPCOptions.
func (s *Server) RegisterGRPC(r grpc.ServiceRegistrar) {
	desc := ramenpb.Backend_ServiceDesc
	desc.Methods = append([]grpc.MethodDesc(nil), desc.Methods...)
	for i := range desc.Methods {
		if desc.Methods[i].MethodName == "Publish" {
			desc.Methods[i].Handler = publishHandler
		}
		desc.Methods[i].Handler = s.counted(desc.Methods[i].Handler)
	}
	desc.Streams = append([]grpc.StreamDesc(nil), desc.Streams...)
	for _, list := range []grpc.StreamDesc{
		{StreamName: "ListDevices", Handler: listHandler(callDevices, newOf[ramenpb.ListDevicesRequest], (*service).listDevices)},
		{StreamName: "ListMessages", Handler: listHandler(callMessages, newOf[ramenpb.ListMessagesRequest], (*service).listMessages)},
	} {
		desc.Methods = slices.DeleteFunc(desc.Methods, func(m grpc.MethodDesc) bool { return m.MethodName == list.StreamName })
		desc.Streams = append(desc.Streams, list)
	}
	for i := range desc.Streams {
		if desc.Streams[i].StreamName == "PublishStream" {
			desc.Streams[i].Handler = func(srv any, stream grpc.ServerStream) error {
				return srv.(*service).publishStream(stream)
			}
		}
	}
	r.RegisterService(&desc, &service{server: s})
}

func newOf[T any]() *T { return new(T) }

// counted is a handler whose calls are counted.
func (s *Server) counted(handle grpc.MethodHandler) grpc.MethodHandler {
	return func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		s.calls.Add(1)
		defer s.calls.Add(-1)
		return handle(srv, ctx, func(in any) error {
			return receive(ctx, decode, in)
		}, interceptor)
	}
}

// receive reads the message of a call, which is waited for no longer than others' (package h2).
func receive(ctx context.Context, read func(any) error, in any) error {
	if _, ok := grpcend.Of(ctx); !ok {
		return grpcend.Serve(ctx, func(ctx context.Context) error { return receive(ctx, read, in) })
	}
	var wait h2.Wait
	wait.Begin(ctx)
	defer wait.End()
	return read(in)
}

// Calls is how many gRPC calls are served just now, PublishStreams left out.
func (s *Server) Calls() int { return int(s.calls.Load()) }

// service is the gRPC side of a Server. Publish and PublishStream do not go through the generated types.
type service struct {
	ramenpb.UnimplementedBackendServer
	server *Server
}

// publishHandler stands where generated code would: it differs in the types that it decodes into and answers.
func publishHandler(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
	g := srv.(*service)
	began := time.Now()
	if err := g.server.allow(authorization(ctx), auth.ScopePublish); err != nil {
		return nil, g.server.done(callPublish, began, err)
	}
	in := &publishRequest{server: g.server}
	if err := decode(in); err != nil {
		return nil, err
	}
	if interceptor == nil {
		return g.publish(ctx, in, began)
	}
	info := &grpc.UnaryServerInfo{Server: srv, FullMethod: ramenpb.Backend_Publish_FullMethodName}
	return interceptor(ctx, in, info, func(ctx context.Context, in any) (any, error) { return g.publish(ctx, in.(*publishRequest), began) })
}

func (g *service) publish(ctx context.Context, in *publishRequest, began time.Time) (any, error) {
	if in.err != nil {
		return nil, g.server.done(callPublish, began, in.err)
	}
	if err := g.server.take(in.batch.bytes); err != nil {
		return nil, g.server.done(callPublish, began, err)
	}
	defer g.server.give(in.batch.bytes)
	g.server.publish(ctx, sideGRPC, in.batch)
	return &publishResponse{in.batch.results}, g.server.done(callPublish, began, nil)
}

// listDevices and listMessages are the lists of a user: what they hold, and how they are made.
func (g *service) listDevices(ctx context.Context, in *ramenpb.ListDevicesRequest) (int64, func() proto.Message, *protocol.Error) {
	devices, err := g.server.devices(ctx, in.GetUser())
	return devicesBytes(devices), func() proto.Message { return devicesProto(devices) }, err
}

func (g *service) listMessages(ctx context.Context, in *ramenpb.ListMessagesRequest) (int64, func() proto.Message, *protocol.Error) {
	messages, err := g.server.messages(ctx, in.GetUser())
	return messagesBytes(messages), func() proto.Message { return messagesProto(messages) }, err
}

// Recall implements ramenpb.BackendServer.
func (g *service) Recall(ctx context.Context, in *ramenpb.RecallRequest) (*ramenpb.RecallResponse, error) {
	return answer(ctx, g, callRecall, auth.ScopePublish, func() (*ramenpb.RecallResponse, *protocol.Error) {
		recalled, err := g.server.recall(ctx, in.GetUser(), in.GetId())
		return &ramenpb.RecallResponse{Recalled: recalled}, err
	})
}

// Disconnect implements ramenpb.BackendServer.
func (g *service) Disconnect(ctx context.Context, in *ramenpb.DisconnectRequest) (*ramenpb.DisconnectResponse, error) {
	return answer(ctx, g, callDisconnect, auth.ScopePublish, func() (*ramenpb.DisconnectResponse, *protocol.Error) {
		n, err := g.server.disconnect(ctx, in.GetUser(), in.GetDevice(), in.GetDetail())
		return &ramenpb.DisconnectResponse{Streams: uint32(n)}, err
	})
}

// answer serves a call to who may make it, and counts it.
func answer[T any](ctx context.Context, g *service, c call, scope auth.Scope, serve func() (*T, *protocol.Error)) (*T, error) {
	began := time.Now()
	if err := g.server.allow(authorization(ctx), scope); err != nil {
		return nil, g.server.done(c, began, err)
	}
	a, err := serve()
	if err != nil {
		return nil, g.server.done(c, began, err)
	}
	return a, g.server.done(c, began, nil)
}

// authorization is the metadata key of SPEC 8.
func authorization(ctx context.Context) string {
	return auth.Credential(metadata.ValueFromIncomingContext(ctx, "authorization"))
}

// done counts a call and makes its status; nil where err is.
func (s *Server) done(c call, began time.Time, err *protocol.Error) error {
	s.metrics.request(sideGRPC, c, began, err)
	if err == nil {
		return nil
	}
	return grpcstatus.CallError(err)
}
