package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"ramen/protocol"
)

const devicesStream = "/ramen.v1.Devices/Stream" // SPEC 7.1

type grpcConn struct {
	client *grpc.ClientConn
	stream grpc.ClientStream
	cancel context.CancelFunc
	alive  func()
	in     []byte // owned by Next

	mu sync.Mutex // one sender at a time
}

func (d *Dialer) dialGRPC(ctx context.Context, o *protocol.OpenFrame, alive func()) (Conn, error) {
	target, err := ParseGRPCTarget(d.GRPC, d.TLS)
	if err != nil {
		return nil, err
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(target.Credentials()),
		grpc.WithDisableServiceConfig(), // retries are rule 13's
		grpc.WithReadBufferSize(4 << 10),
		grpc.WithWriteBufferSize(4 << 10),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(MaxFrame)),
	}
	if d.Net != nil {
		opts = append(opts, grpc.WithNoProxy(), grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return d.Net(ctx, "tcp", addr) }))
	}
	client, err := grpc.NewClient(target.Addr, opts...)
	if err != nil {
		return nil, fmt.Errorf("wire: dial grpc: %w", err)
	}
	c := &grpcConn{client: client, alive: alive}
	if err := c.open(ctx, o); err != nil {
		_ = c.Close()
		return nil, endOfGRPC(err)
	}
	return c, nil
}

func (c *grpcConn) open(ctx context.Context, o *protocol.OpenFrame) error {
	// The stream's context lives as long as it; ctx ends it only while it is being opened.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c.cancel = cancel
	stop := context.AfterFunc(ctx, cancel)
	open := protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: *o}
	if o.Token != "" {
		life = metadata.AppendToOutgoingContext(life, "authorization", "Bearer "+o.Token)
		open.Open.Token = ""
	}
	desc := grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	stream, err := c.client.NewStream(life, &desc, devicesStream)
	if err != nil {
		return err
	}
	c.stream = stream
	if err := c.write(&open); err != nil && err != io.EOF { // io.EOF: Next has the status
		return err
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return nil
}

func (c *grpcConn) Next(f *protocol.ServerFrame) error {
	if err := c.stream.RecvMsg(&c.in); err != nil {
		return endOfGRPC(err)
	}
	c.alive()
	*f = protocol.ServerFrame{}
	if err := protocol.DecodeProtoServerFrame(c.in, f); err != nil {
		return cut(err)
	}
	return nil
}

func (c *grpcConn) Ack(_ context.Context, seq protocol.Seq, cursor string) error {
	f := protocol.DeviceFrame{Kind: protocol.FrameAck, Seq: seq}
	if seq == 0 {
		f.Cursor = cursor
	}
	return c.write(&f)
}

func (c *grpcConn) Echo(timeMS int64) error {
	return c.write(&protocol.DeviceFrame{Kind: protocol.FrameHeartbeat, TimeMS: timeMS})
}

func (c *grpcConn) Refresh(token string, dc *protocol.DeviceContext) error {
	return c.write(&protocol.DeviceFrame{Kind: protocol.FrameRefresh, Token: token, Context: dc})
}

func (c *grpcConn) write(f *protocol.DeviceFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream.SendMsg(protocol.AppendProtoDeviceFrame(nil, f))
}

// Finish half-closes the stream: grpc-go drops what it has not sent yet of one that is cancelled.
func (c *grpcConn) Finish() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stream.CloseSend()
}

func (c *grpcConn) Close() error {
	if c.cancel != nil {
		c.cancel()
	}
	return c.client.Close()
}

// rawCodec hands protobuf bytes through, for package protocol to read and write. What is sent must not be used again:
// grpc-go writes it later.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize() // a copy: pushes may keep it
	return nil
}
