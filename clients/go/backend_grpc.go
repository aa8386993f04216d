package ramen

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ramen/clients/go/wire"
	"ramen/protocol"
	"ramen/protocol/grpcstatus"
	"ramen/protocol/ramenpb"
)

// grpcBackend speaks SPEC 7.1's Backend. Publishes are pipelined on one stream, answers come in the order of requests.
type grpcBackend struct {
	key    string
	conn   *grpc.ClientConn
	client ramenpb.BackendClient

	mu   sync.Mutex
	pipe *pipe // guarded by mu; nil: to be opened
}

func newGRPCBackend(cfg *PublisherConfig) (*grpcBackend, error) {
	target, err := wire.ParseGRPCTarget(cfg.GRPC, cfg.TLS)
	if err != nil {
		return nil, fmt.Errorf("ramen: publisher config: %w", err)
	}
	conn, err := grpc.NewClient(target.Addr,
		grpc.WithTransportCredentials(target.Credentials()),
		grpc.WithDisableServiceConfig(), // a retry needs the same id: it is made here
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return nil, fmt.Errorf("ramen: publisher config: grpc: %w", err)
	}
	return &grpcBackend{key: cfg.Key, conn: conn, client: ramenpb.NewBackendClient(conn)}, nil
}

func (b *grpcBackend) authorize(ctx context.Context) context.Context {
	if b.key == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+b.key)
}

func (b *grpcBackend) encode(u *unit) {
	u.pb = make([]*ramenpb.Publish, len(u.messages))
	for i := range u.messages {
		p := &u.messages[i]
		u.pb[i] = &ramenpb.Publish{
			User: p.User, Users: p.Users, Device: p.Device, Id: p.ID, Type: p.Type, Priority: ramenpb.Priority(p.Priority),
			Payload: p.Payload, ContentType: p.ContentType, TtlMs: uint32(p.TTLMS), CollapseKey: p.CollapseKey,
			Headers: p.Headers, Where: p.Where,
		}
	}
}

func (b *grpcBackend) exchange(ctx context.Context, units []*unit) ([]protocol.PublishResult, error) {
	req := &ramenpb.PublishRequest{}
	for _, u := range units {
		req.Messages = append(req.Messages, u.pb...)
	}
	p, err := b.open()
	if err != nil {
		return nil, refusalOf(err)
	}
	resp, err := p.exchange(ctx, req)
	if err != nil {
		return nil, refusalOf(err)
	}
	results := make([]protocol.PublishResult, len(resp.Results))
	for i, r := range resp.Results {
		results[i] = protocol.PublishResult{ID: r.GetId(), Status: protocol.PublishStatus(r.GetStatus()), Devices: r.GetDevices()}
		if results[i].Status == protocol.PublishRejected {
			results[i].Err = &Error{Code: protocol.Code(r.GetError().GetCode()), Message: r.GetError().GetMessage()}
		}
	}
	return results, nil
}

// open is the pipe, a new one where the last has broken.
func (b *grpcBackend) open() (*pipe, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pipe != nil && !b.pipe.broken() {
		return b.pipe, nil
	}
	ctx, cancel := context.WithCancel(b.authorize(context.Background()))
	stream, err := b.client.PublishStream(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	b.pipe = newPipe(stream, cancel)
	return b.pipe, nil
}

// refusalOf is the server's *Error where err holds one: a stream that broke holds none, whatever it broke of. SPEC 9.1.3
func refusalOf(err error) error {
	if e, ok := grpcstatus.ReadCallError(err); ok {
		return e
	}
	return err
}

func (b *grpcBackend) recall(ctx context.Context, user, id string) (bool, error) {
	resp, err := b.client.Recall(b.authorize(ctx), &ramenpb.RecallRequest{User: user, Id: id})
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	if err != nil {
		return false, refusalOf(err)
	}
	return resp.GetRecalled(), nil
}

func (b *grpcBackend) disconnect(ctx context.Context, user, device, detail string) (int, error) {
	resp, err := b.client.Disconnect(b.authorize(ctx), &ramenpb.DisconnectRequest{User: user, Device: device, Detail: detail})
	if err != nil {
		return 0, refusalOf(err)
	}
	return int(resp.GetStreams()), nil
}

func (b *grpcBackend) devices(ctx context.Context, user string) ([]KnownDevice, error) {
	resp, err := b.client.ListDevices(b.authorize(ctx), &ramenpb.ListDevicesRequest{User: user})
	if err != nil {
		return nil, refusalOf(err)
	}
	known := make([]KnownDevice, len(resp.GetDevices()))
	for i, d := range resp.GetDevices() {
		c := d.GetContext()
		known[i] = KnownDevice{
			Device: d.GetDevice(), Online: d.GetOnline(), Transport: d.GetTransport(),
			Context: DeviceContext{App: c.GetApp(), AppVersion: c.GetAppVersion(), OS: c.GetOs(), OSVersion: c.GetOsVersion(),
				Model: c.GetModel(), Locale: c.GetLocale(), Labels: c.GetLabels()},
			Connected: unixMilli(d.GetConnectedMs()), LastSeen: unixMilli(d.GetLastSeenMs()),
			Pending: int(d.GetPending()), Unacked: int(d.GetUnacked()), RTT: time.Duration(d.GetRttMs()) * time.Millisecond,
		}
	}
	return known, nil
}

func (b *grpcBackend) messages(ctx context.Context, user string) ([]Message, error) {
	resp, err := b.client.ListMessages(b.authorize(ctx), &ramenpb.ListMessagesRequest{User: user})
	if err != nil {
		return nil, refusalOf(err)
	}
	list := make([]Message, len(resp.GetMessages()))
	for i, m := range resp.GetMessages() {
		list[i].Message = protocol.Message{
			ID: protocol.MessageID(m.GetId()), Type: m.GetType(), Priority: Priority(m.GetPriority()), Payload: m.GetPayload(),
			ContentType: m.GetContentType(), CreatedMS: m.GetCreatedMs(), ExpiresMS: m.GetExpiresMs(),
			CollapseKey: m.GetCollapseKey(), Headers: m.GetHeaders(),
		}
	}
	return list, nil
}

// close ends the pipe's reader and waits for it.
func (b *grpcBackend) close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pipe != nil {
		b.pipe.close()
	}
	_ = b.conn.Close() // its only error is that it was closed before
	return nil
}
