// Package grpcend ends calls of a gRPC server from outside of their handlers: a stream whose device is to leave while the handler
// waits for its next frame, a call whose first message does not come.
//
// grpc-go has no public way to do so but to return from the handler. Its own streams have a method for it, WriteStatus, which
// is no part of its promise: this package is the only place that reaches for it. Where it is missing (an update has renamed
// it, another transport is used) the handler runs in a goroutine of its own, some kilobytes a call, and the call returns
// when it is ended. A test fails loudly when grpc-go no longer has the method.
//
// Invariants:
//
//  1. End's status goes out behind what the call has sent. What comes after it is not sent, and reading fails.
//  2. The first end counts, whether it is End's or the handler's own.
//
// Goroutines: none; without WriteStatus one a call, which ends with its handler. A call that was ended does not wait for it: grpc
// has ended what it reads, sends and waits for.
package grpcend

import (
	"context"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// Interceptor lets End work on the streams of a server.
func Interceptor() grpc.ServerOption { return grpc.ChainStreamInterceptor(intercept) }

func intercept(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	if _, ok := transportOf(stream.Context()); ok {
		return handler(srv, stream)
	}
	return Serve(stream.Context(), func(ctx context.Context) error { return handler(srv, &within{stream, ctx}) })
}

// within is a stream with another context.
type within struct {
	grpc.ServerStream
	ctx context.Context
}

func (w *within) Context() context.Context { return w.ctx }

// Serve runs what serves a call, or a part of it, so that End works with the context that it is given. It answers with what serve
// answers, or with End's status.
func Serve(ctx context.Context, serve func(context.Context) error) error {
	if _, ok := transportOf(ctx); ok {
		return serve(ctx)
	}
	c := &call{ended: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- serve(context.WithValue(ctx, callKey{}, c)) }()
	select {
	case err := <-done:
		return c.first(err)
	case <-c.ended:
		return c.status.Err()
	}
}

// Ender ends one call, at once for whoever calls it: the handler's reading fails, and so does its sending.
type Ender interface {
	WriteStatus(st *status.Status) error
}

// Of is what ends the call of ctx; false where ctx is of no call, or of one that neither Interceptor nor Serve has seen.
func Of(ctx context.Context) (Ender, bool) {
	if t, ok := transportOf(ctx); ok {
		return t, true
	}
	c, ok := ctx.Value(callKey{}).(*call)
	return c, ok
}

// End ends the call of ctx with st, where there is one.
func End(ctx context.Context, st *status.Status) {
	if e, ok := Of(ctx); ok {
		_ = e.WriteStatus(st) // where it fails, the connection is gone
	}
}

// transportOf is grpc-go's own stream, where it has the method.
func transportOf(ctx context.Context) (Ender, bool) {
	t, ok := grpc.ServerTransportStreamFromContext(ctx).(Ender)
	return t, ok
}

type callKey struct{}

// call is one of a transport without WriteStatus.
type call struct {
	once   sync.Once
	status *status.Status // set before ended is closed
	ended  chan struct{}
}

// first is how the call ends whose handler has answered err.
func (c *call) first(err error) error {
	select {
	case <-c.ended:
		return c.status.Err()
	default:
		return err
	}
}

// WriteStatus implements Ender.
func (c *call) WriteStatus(st *status.Status) error {
	c.once.Do(func() {
		c.status = st
		close(c.ended)
	})
	return nil
}
