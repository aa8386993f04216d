package linkgrpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/status"

	"ramen/internal/tool/tcpconn"
	"ramen/link/linkgrpc/frame"
	"ramen/link/linkgrpc/linkpb"
)

// steady is how long a link has to stand for the next pause to be the shortest again.
const steady = 5 * time.Second

// run connects, again and again, until the link is closed. It is the link's one goroutine while it does not stand.
func (l *Link) run() {
	log := repeated{log: l.log}
	for attempt := 0; !l.over(); attempt++ {
		began := time.Now()
		err := l.attach(func() {
			began = time.Now()
			log.up()
		})
		if l.over() {
			return
		}
		if time.Since(began) > steady {
			attempt = 0
		}
		log.down(err)
		select {
		case <-time.After(l.pause(attempt)):
		case <-l.ctx.Done():
		}
	}
}

func (l *Link) over() bool { return l.ctx.Err() != nil || l.closing.Load() }

// pause draws from the upper half: frontends that lost a gateway together do not come back together.
func (l *Link) pause(attempt int) time.Duration {
	cfg := &l.client.cfg
	full := min(cfg.PauseMin<<min(attempt, 16), cfg.PauseMax)
	return full/2 + rand.N(full/2+1)
}

// attach makes one connection and one attachment over it, and answers why that has ended. A connection is never made anew beneath an
// attachment: who answered the hello is who gets the calls.
func (l *Link) attach(up func()) error {
	cfg := &l.client.cfg
	security, err := cfg.Security.client(l.target)
	if err != nil {
		l.client.metrics.connects.WithLabelValues(connectRefused).Inc()
		return err
	}
	cc, err := grpc.NewClient("passthrough:///"+l.target.address, append(security,
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(maxBatch), grpc.MaxCallSendMsgSize(maxBatch)),
		grpc.WithStaticStreamWindowSize(windowBytes), grpc.WithStaticConnWindowSize(windowBytes),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(), grpc.WithDisableHealthCheck(), grpc.WithNoProxy(), grpc.WithIdleTimeout(0),
		grpc.WithContextDialer(dial), grpc.WithUserAgent("ramen-frontend"))...)
	if err != nil {
		l.client.metrics.connects.WithLabelValues(connectFailed).Inc()
		return fmt.Errorf("linkgrpc: connect to %s: %w", l.target.address, err)
	}
	defer cc.Close()
	ctx, cancel := context.WithCancelCause(l.ctx)
	defer cancel(nil)
	a, err := l.hello(ctx, cancel, cc)
	if err != nil {
		l.client.metrics.connects.WithLabelValues(outcomeOf(err)).Inc()
		return err
	}
	l.client.metrics.connects.WithLabelValues(connectOK).Inc()
	up()
	return a.serve() // it ends with ctx, as the grpc call does
}

// dial connects, as grpc would: its own keepalive finds a dead peer sooner than TCP's.
func dial(ctx context.Context, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return tcpconn.Of(c), nil
}

// windowBytes is HTTP/2's window, and so what a reader that does not read makes its process hold. More than a connection within a
// region has under way.
const windowBytes = 1 << 20

// maxBatch is the largest batch: one that was all but full, and the largest call.
const maxBatch = 64 << 20

// refusal is a peer with which there can be no link as things are.
type refusal struct{ why string }

func (r *refusal) Error() string { return "linkgrpc: " + r.why }

func outcomeOf(err error) string {
	if _, refused := errors.AsType[*refusal](err); refused {
		return connectRefused
	}
	return connectFailed
}

// hello opens the call, and says and hears who is there.
func (l *Link) hello(ctx context.Context, cancel context.CancelCauseFunc, cc *grpc.ClientConn) (*attachment, error) {
	late := time.AfterFunc(l.client.cfg.ConnectFor, func() { cancel(errNoAnswer) })
	defer late.Stop()
	failed := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		switch s, _ := status.FromError(err); s.Code() {
		case codes.FailedPrecondition, codes.Unauthenticated, codes.PermissionDenied:
			return &refusal{fmt.Sprintf("%s at %s refuses the link: %s", l.target.name, l.target.address, s.Message())}
		}
		return fmt.Errorf("linkgrpc: connect to %s at %s: %w", l.target.name, l.target.address, err)
	}
	for cc.Connect(); ; {
		s := cc.GetState()
		if s == connectivity.Ready || s == connectivity.TransientFailure { // whose error the call has
			break
		}
		if !cc.WaitForStateChange(ctx, s) {
			return nil, failed(ctx.Err())
		}
	}
	stream, err := cc.NewStream(ctx, &linkpb.Link_ServiceDesc.Streams[0], linkpb.Link_Attach_FullMethodName)
	if err != nil {
		return nil, failed(err)
	}
	cfg := &l.client.cfg
	mine := frame.Hello{
		Version: cfg.versions.newest, MinVersion: cfg.versions.oldest, From: cfg.Name, To: l.target.name, Cluster: cfg.Cluster,
		Instance: l.client.instance, Number: l.client.numbers.Add(1),
	}
	first := newBatch()
	first.bytes = frame.AppendHello(first.bytes, &mine)
	if err := stream.SendMsg(first); err != nil && !errors.Is(err, io.EOF) { // EOF: RecvMsg has the error
		return nil, failed(err)
	}
	theirs, err := receiveHello(stream)
	if err != nil {
		return nil, failed(err)
	}
	if err := checkGateway(&mine, theirs); err != nil {
		return nil, err
	}
	return newAttachment(ctx, cancel, l, stream, theirs), nil
}
