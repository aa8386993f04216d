// Package grpcendtest shows package grpcend a gRPC server as an update of grpc-go could leave it: without WriteStatus.
package grpcendtest

import (
	"context"

	"google.golang.org/grpc"
)

// Hidden hides WriteStatus from the streams of a server. It is the first interceptor, whatever the other options are.
func Hidden() grpc.ServerOption {
	return grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx := stream.Context()
		return handler(srv, within{stream, grpc.NewContextWithServerTransportStream(ctx, renamed{grpc.ServerTransportStreamFromContext(ctx)})})
	})
}

// renamed is a transport's stream without WriteStatus.
type renamed struct{ grpc.ServerTransportStream }

// within is a stream with another context.
type within struct {
	grpc.ServerStream
	ctx context.Context
}

func (w within) Context() context.Context { return w.ctx }
