package grpcend

import (
	"context"
	"io"
	"net"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"ramen/frontend/grpcend/grpcendtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestGRPCStillHasWriteStatus: without it everything works, but each gRPC stream of a device costs a goroutine and some KB more.
func TestGRPCStillHasWriteStatus(t *testing.T) {
	seen := make(chan bool, 1)
	c := serve(t, nil, func(stream grpc.ServerStream) error {
		_, ok := transportOf(stream.Context())
		seen <- ok
		return nil
	})
	if err := receive(open(t, c)); err != io.EOF {
		t.Fatal(err)
	}
	if !<-seen {
		t.Fatalf("grpc-go %s: server streams have no WriteStatus(*status.Status) error any more. Streams are ended by the fallback of this package, which "+
			"costs a goroutine each: find out how the new version ends a stream from outside of its handler, and use that in transportOf", grpc.Version)
	}
}

// transports are grpc-go's, and one that a renamed method leaves.
var transports = map[string][]grpc.ServerOption{"grpc-go": nil, "without WriteStatus": {grpcendtest.Hidden()}}

// A handler that reads is ended from outside; what it had sent comes before the status.
func TestEndIsBehindWhatWasSent(t *testing.T) {
	for name, options := range transports {
		ctx := make(chan context.Context, 1)
		read := make(chan error, 1)
		c := serve(t, options, func(stream grpc.ServerStream) error {
			for i := range 3 {
				if err := stream.SendMsg(wrapperspb.Int64(int64(i))); err != nil {
					return err
				}
			}
			ctx <- stream.Context()
			err := stream.RecvMsg(new(wrapperspb.Int64Value))
			read <- err
			return err
		})
		stream := open(t, c)
		End(<-ctx, status.New(codes.Aborted, "leave"))
		for i := range int64(3) {
			var v wrapperspb.Int64Value
			if err := stream.RecvMsg(&v); err != nil || v.Value != i {
				t.Fatalf("%s: message %d: %v, %v", name, i, v.Value, err)
			}
		}
		if err := receive(stream); status.Code(err) != codes.Aborted || status.Convert(err).Message() != "leave" {
			t.Errorf("%s: ended with %v", name, err)
		}
		if err := <-read; err == nil {
			t.Errorf("%s: the handler still reads", name)
		}
	}
}

// Whoever comes first ends a call: End or its handler.
func TestFirstEndCounts(t *testing.T) {
	for name, options := range transports {
		c := serve(t, options, func(stream grpc.ServerStream) error {
			End(stream.Context(), status.New(codes.Aborted, "first"))
			End(stream.Context(), status.New(codes.Internal, "second"))
			return status.Error(codes.Internal, "third")
		})
		if err := receive(open(t, c)); status.Code(err) != codes.Aborted {
			t.Errorf("%s: ended with %v", name, err)
		}
		ends := make(chan context.Context, 1)
		c = serve(t, options, func(stream grpc.ServerStream) error {
			ends <- stream.Context()
			return status.Error(codes.DataLoss, "its own")
		})
		if err := receive(open(t, c)); status.Code(err) != codes.DataLoss {
			t.Errorf("%s: ended with %v", name, err)
		}
		End(<-ends, status.New(codes.Aborted, "late")) // and nothing happens
	}
}

// A part of a call, as of one whose first message does not come.
func TestServeIsEnded(t *testing.T) {
	for name, options := range transports {
		ctx := make(chan context.Context, 1)
		c := serve(t, options, func(stream grpc.ServerStream) error {
			return Serve(stream.Context(), func(c context.Context) error {
				ctx <- c
				return stream.RecvMsg(new(wrapperspb.Int64Value))
			})
		})
		stream := open(t, c)
		End(<-ctx, status.New(codes.InvalidArgument, "no message came"))
		if err := receive(stream); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: ended with %v", name, err)
		}
	}
	if _, ok := Of(t.Context()); ok {
		t.Error("a context of no call is ended")
	}
	End(t.Context(), status.New(codes.Aborted, ""))
}

// serve is a client of a server with one method, a stream.
func serve(t *testing.T, options []grpc.ServerOption, handle func(grpc.ServerStream) error) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(append(options[:len(options):len(options)], Interceptor())...)
	s.RegisterService(&grpc.ServiceDesc{ServiceName: "test", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{{
		StreamName: "Stream", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, stream grpc.ServerStream) error { return handle(stream) },
	}}}, nil)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	c, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		s.Stop()
		<-served
	})
	return c
}

func open(t *testing.T, c *grpc.ClientConn) grpc.ClientStream {
	t.Helper()
	s, err := c.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/test/Stream")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// receive is the end of a stream on which nothing more comes.
func receive(s grpc.ClientStream) error { return s.RecvMsg(new(wrapperspb.Int64Value)) }
