package h2

import (
	"context"
	"crypto/tls"
	"errors"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"ramen/frontend/grpcend"
)

// ServerOptions are what a grpc.Server needs to serve connections of Listener: TLS as t says (nil: cleartext), and the look at each
// call before it is one.
func (g *Guard) ServerOptions(t *tls.Config) []grpc.ServerOption {
	h := &handshake{guard: g}
	if t != nil {
		h.tls = credentials.NewTLS(t)
	}
	return []grpc.ServerOption{grpc.Creds(h), grpc.InTapHandle(g.tap), grpc.MaxConcurrentStreams(uint32(g.port.Calls)), grpcend.Interceptor()}
}

// handshake is where grpc asks for TLS: what it follows is the plain text within.
type handshake struct {
	guard *Guard
	tls   credentials.TransportCredentials // nil: none
}

// ServerHandshake implements credentials.TransportCredentials.
func (h *handshake) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	c, ok := raw.(*Conn)
	if !ok {
		return nil, nil, errors.New("frontend/h2: the connection is not of the guard's listener")
	}
	if h.tls == nil {
		return c, c, nil
	}
	secure, _, err := h.tls.ServerHandshake(c.raw)
	if err != nil {
		return nil, nil, err
	}
	c.out.mu.Lock()
	c.Conn = secure
	c.out.mu.Unlock()
	return c, c, nil
}

// ClientHandshake implements credentials.TransportCredentials; it is not called.
func (h *handshake) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("frontend/h2: these are a server's credentials")
}

// Info implements credentials.TransportCredentials.
func (h *handshake) Info() credentials.ProtocolInfo {
	if h.tls == nil {
		return credentials.ProtocolInfo{SecurityProtocol: "insecure"}
	}
	return h.tls.Info()
}

// Clone implements credentials.TransportCredentials.
func (h *handshake) Clone() credentials.TransportCredentials { c := *h; return &c }

// OverrideServerName implements credentials.TransportCredentials; it is a client's.
func (h *handshake) OverrideServerName(string) error { return nil }
