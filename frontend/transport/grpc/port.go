package grpc

import (
	"crypto/tls"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // servers accept gzip. SPEC 7
	"google.golang.org/grpc/keepalive"

	"ramen/frontend/h2"
	"ramen/frontend/sock"
	"ramen/frontend/transport"
	"ramen/protocol/ramenpb"
)

const (
	maxDeviceFrame = 64<<10 + 1<<10  // bytes: a device's frame may hold 64 KiB, and protobuf around it
	pingsAtLeast   = 2 * time.Second // clients may ping every 4 s (SPEC 7), and networks move pings together
	prefaceTime    = 5 * time.Second // at most, for TLS and the first frame
	windowBytes    = 64 << 10        // that a device may have sent and this side not read; the least that there is
	writeBuffer    = 4 << 10         // bytes; shared by the connections, which hold none while idle
	readBuffer     = 512             // bytes, held by each connection: a device's frames are acks and echoes
	headerTable    = 0               // bytes of earlier headers that a connection remembers: a device opens a stream on it, seldom two
)

// Bounds of the port, package h2 has what they are for.
const (
	unfinishedBytes = 8 << 20 // of frames of devices that have not come to their end; one has 64 KiB at most
	unknownGrace    = 2 * time.Second
	leastOpens      = 100 // a second that one connection may have, however few streams it may have at once
)

// Config sets up a Server.
type Config struct {
	Streams        int // most of one connection
	Guard          h2.Config
	Sock           sock.Config
	OpenTimeout    time.Duration // of the first frame
	HeaderTimeout  time.Duration
	IdleTimeout    time.Duration
	MaxHeaderBytes int
}

// Server is the service Devices of port 8081.
type Server struct {
	ramenpb.UnimplementedDevicesServer
	*transport.Services
	cfg   Config
	guard *h2.Guard // stands before the port
}

// New makes a Server.
func New(cfg Config, s *transport.Services, r prometheus.Registerer) (*Server, error) {
	guard, err := h2.New(cfg.Guard, h2.Port{
		Name: "devices", Opens: ramenpb.Devices_Stream_FullMethodName,
		Calls: cfg.Streams, CallsPerSecond: max(cfg.Streams, leastOpens),
		Unfinished: unfinishedBytes, Grace: unknownGrace,
	}, r)
	if err != nil {
		return nil, err
	}
	return &Server{Services: s, cfg: cfg, guard: guard}, nil
}

// Register adds the service to a server that was made with Options.
func (s *Server) Register(r grpc.ServiceRegistrar) { ramenpb.RegisterDevicesServer(r, s) }

// Listener is l, as a server that was made with Options is to serve it.
func (s *Server) Listener(l net.Listener) net.Listener {
	return s.guard.Listener(sock.BoundUnsent(l, s.cfg.Sock))
}

// Options are what the service needs of its grpc.Server; t is its TLS, nil for cleartext. Devices keep their connection alive
// with pings every 4 s.
func (s *Server) Options(t *tls.Config) []grpc.ServerOption {
	return append(s.guard.ServerOptions(t),
		grpc.ForceServerCodecV2(newRawCodec()),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: pingsAtLeast, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: s.cfg.IdleTimeout, Time: 15 * time.Second, Timeout: 10 * time.Second}),
		grpc.MaxRecvMsgSize(maxDeviceFrame),
		grpc.MaxHeaderListSize(uint32(s.cfg.MaxHeaderBytes)),
		grpc.StaticStreamWindowSize(windowBytes), // or it grows to megabytes for a device that sends fast
		grpc.StaticConnWindowSize(windowBytes),
		grpc.WriteBufferSize(writeBuffer),
		grpc.ReadBufferSize(readBuffer),
		grpc.HeaderTableSize(headerTable),
		grpc.ConnectionTimeout(min(s.cfg.HeaderTimeout, prefaceTime)),
	)
}

// Close ends the guard.
func (s *Server) Close() { s.guard.Close() }
