package frontend

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"ramen/frontend/auth"
	"ramen/internal/testcert"
	"ramen/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// grpcOptions are more options of every bench's gRPC server; for one test that is not parallel.
var grpcOptions []grpc.ServerOption

// bench is a server on real sockets, with a gateway behind it.
type bench struct {
	tb      testing.TB
	s       *Server
	g       *gateway
	plain   string // host:port
	secure  string
	grpc    string
	roots   *tls.Config
	grpcs   *grpc.Server
	serving sync.WaitGroup

	readBuffer int // of devices on plain TCP; 0: the system's
}

func newBench(tb testing.TB, change func(c *Config, d *Deps)) *bench {
	tb.Helper()
	cfg := Default()
	g := newGateway()
	d := Deps{Router: g}
	if change != nil {
		change(&cfg, &d)
	}
	s, err := New(cfg, d)
	if err != nil {
		tb.Fatal(err)
	}
	b := &bench{tb: tb, s: s, g: g}
	cert := testcert.SelfSigned("ramen")
	b.roots = &tls.Config{RootCAs: cert.Pool()}
	b.plain = b.serve(func(l net.Listener) error { return s.Serve(l, nil) })
	b.secure = b.serve(func(l net.Listener) error {
		return s.Serve(l, &tls.Config{Certificates: []tls.Certificate{cert.TLS()}})
	})
	b.grpcs = grpc.NewServer(append(s.GRPCOptions(nil), grpcOptions...)...)
	s.RegisterGRPC(b.grpcs)
	b.grpc = b.serve(func(l net.Listener) error { return b.grpcs.Serve(s.GRPCListener(l)) })
	tb.Cleanup(b.close)
	return b
}

func (b *bench) serve(serve func(l net.Listener) error) string {
	l, err := b.s.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		b.tb.Fatal(err)
	}
	b.serving.Go(func() {
		if err := serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			b.tb.Errorf("serve: %v", err)
		}
	})
	return l.Addr().String()
}

func (b *bench) close() {
	if err := b.s.Check(); err != nil {
		b.tb.Error(err)
	}
	if err := b.s.Close(); err != nil {
		b.tb.Errorf("close: %v", err)
	}
	b.grpcs.Stop()
	b.serving.Wait()
	if n := b.s.Admission.Len(); n != 0 {
		b.tb.Errorf("%d streams are counted after all have ended", n)
	}
	if n := b.s.Streams.Len(); n != 0 {
		b.tb.Errorf("%d streams have a timer after all have ended", n)
	}
	if n := b.s.Streams.Counted(); n != 0 {
		b.tb.Errorf("%d streams are counted as clients after all have ended", n)
	}
	if n := b.s.sockets.UnfinishedBytes(); n != 0 {
		b.tb.Errorf("%d bytes of unfinished messages are counted after all have ended", n)
	}
}

// until waits for what ok says of the gateway.
func (b *bench) until(what string, ok func() bool) {
	b.tb.Helper()
	if err := b.g.until(what, ok); err != nil {
		b.tb.Fatal(err)
	}
}

// query is a request's query; the user and the device are always there.
func asking(user, device string, more ...string) url.Values {
	v := url.Values{"user": {user}, "device": {device}}
	for i := 0; i < len(more); i += 2 {
		v.Add(more[i], more[i+1])
	}
	return v
}

func (b *bench) url(path string, v url.Values) string {
	return "http://" + b.plain + path + "?" + v.Encode()
}

// client makes one request a connection, and keeps none.
func (b *bench) client() *http.Client {
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: b.roots}
	b.tb.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t, Timeout: 20 * time.Second}
}

// tokens is a Verifier whose tokens are known by name.
type tokens map[string]auth.Claims

func (t tokens) Verify(token string) (auth.Claims, error) {
	c, ok := t[token]
	if !ok {
		return c, protocol.Errorf(protocol.CodeUnauthenticated, "token is not known")
	}
	if time.Now().After(c.Expires) {
		return c, protocol.Errorf(protocol.CodeUnauthenticated, "token has expired")
	}
	return c, nil
}

func rawFrame(b []byte) *rawOut { return &rawOut{mem.SliceBuffer(b)} }

// rawCodec passes bytes that are protobuf already.
type rawCodec struct{ encoding.CodecV2 }

type rawIn struct{ b []byte }

func newRawCodec() rawCodec { return rawCodec{encoding.GetCodecV2(proto.Name)} }

// Marshal implements encoding.CodecV2.
func (c rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	if out, ok := v.(*rawOut); ok {
		return mem.BufferSlice{out.b}, nil
	}
	return c.CodecV2.Marshal(v)
}

// Unmarshal implements encoding.CodecV2.
func (c rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	if in, ok := v.(*rawIn); ok {
		in.b = append(in.b[:0], data.Materialize()...)
		return nil
	}
	return c.CodecV2.Unmarshal(data, v)
}

type rawOut struct{ b mem.Buffer }
