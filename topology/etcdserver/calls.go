package etcdserver

import (
	"context"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"
)

// calls ends the calls that never end by themselves: watches, and streams of renewals. etcd waits for them when it is closed, 7 s at the most,
// and answers meanwhile. Clients are told that this member stops, and go on at another.
type calls struct {
	ctx context.Context // ends with end
	end context.CancelFunc
}

func newCalls() *calls {
	ctx, end := context.WithCancel(context.Background())
	return &calls{ctx, end}
}

// intercept is a grpc.StreamServerInterceptor.
func (c *calls) intercept(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx, cancel := context.WithCancel(s.Context())
	defer cancel()
	stop := context.AfterFunc(c.ctx, cancel)
	defer stop()
	err := handler(srv, endedStream{s, ctx})
	if err != nil && c.ctx.Err() != nil {
		return rpctypes.ErrGRPCStopped
	}
	return err
}

// endedStream is a stream whose context ends with ctx.
type endedStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context implements grpc.ServerStream.
func (s endedStream) Context() context.Context { return s.ctx }
