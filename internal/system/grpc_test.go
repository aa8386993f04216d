package system

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// grpcDevice speaks with the generated client.
type grpcDevice struct {
	cc     *grpc.ClientConn
	rpc    ramenpb.Devices_StreamClient
	cancel context.CancelFunc
}

// dialer connects to a gRPC port as the server's configuration has it.
func (s *server) dialer(addr string, overTLS bool) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	if overTLS {
		var cfg *tls.Config = s.web.Transport.(*http.Transport).TLSClientConfig.Clone()
		cfg.NextProtos = nil
		creds = credentials.NewTLS(cfg)
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if s.net != nil {
		opts = append(opts, grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return s.net(ctx, "tcp", addr) }))
	}
	return grpc.NewClient("passthrough:///"+addr, opts...)
}

func (s *server) dialGRPC(p place) (device, error) {
	d, err := s.rawGRPC(p.token)
	if err != nil {
		return nil, err
	}
	o := &ramenpb.Open{
		User: p.user, Device: p.device, Cursor: p.cursor, Seq: p.seq, Stream: p.stream,
		Window: uint32(p.window), HeartbeatMs: uint32(p.heartbeatMS),
	}
	if p.context != nil {
		o.Context = &ramenpb.DeviceContext{
			App: p.context["app"], AppVersion: p.context["app_version"], Os: p.context["os"],
			OsVersion: p.context["os_version"], Model: p.context["model"], Locale: p.context["locale"],
			Labels: map[string]string{},
		}
		for k, v := range p.context {
			if len(k) > 6 && k[:6] == "label." {
				o.Context.Labels[k[6:]] = v
			}
		}
	}
	if err := d.rpc.Send(&ramenpb.DeviceFrame{Frame: &ramenpb.DeviceFrame_Open{Open: o}}); err != nil && !errors.Is(err, io.EOF) {
		d.close()
		return nil, err
	}
	return d, nil
}

// rawGRPC is a stream on which nothing was sent.
func (s *server) rawGRPC(token string) (*grpcDevice, error) {
	cc, err := s.dialer(s.addr.DevicesGRPC, s.cfg.TLS.Devices.Configured())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	d := &grpcDevice{cc: cc, cancel: cancel}
	if d.rpc, err = ramenpb.NewDevicesClient(cc).Stream(ctx); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *grpcDevice) next() (f protocol.ServerFrame, err error) {
	defer watch(d.cancel)()
	in, err := d.rpc.Recv()
	if err != nil {
		code := codes.OK
		if err != io.EOF {
			code = status.Code(err)
		}
		return f, &ending{code: &code, text: status.Convert(err).Message()}
	}
	switch x := in.Frame.(type) {
	case *ramenpb.ServerFrame_Hello:
		h := x.Hello
		f.Kind = protocol.ServerHello
		f.Hello = protocol.Hello{
			Resumed: h.Resumed, Stream: h.Stream, Seq: protocol.Seq(h.Seq), HeartbeatMS: h.HeartbeatMs, TimeoutMS: h.TimeoutMs,
			AckMS: h.AckMs, TimeMS: h.TimeMs, Expired: h.Expired, Cursor: h.Cursor,
		}
	case *ramenpb.ServerFrame_Push:
		f.Kind = protocol.ServerPush
		f.Push = protocol.Push{Seq: protocol.Seq(x.Push.Seq), Cursor: x.Push.Cursor, Redelivered: x.Push.Redelivered, Message: messageOf(x.Push.Message)}
	case *ramenpb.ServerFrame_Heartbeat:
		f.Kind, f.TimeMS = protocol.ServerHeartbeat, x.Heartbeat.TimeMs
	case *ramenpb.ServerFrame_Goaway:
		g := x.Goaway
		f.Kind = protocol.ServerGoAway
		f.GoAway.Reason, _ = protocol.ParseReason(g.Reason)
		f.GoAway.ReconnectMS, f.GoAway.Detail = g.ReconnectMs, g.Detail
	}
	return f, nil
}

func messageOf(m *ramenpb.Message) *protocol.Message {
	return &protocol.Message{
		ID: protocol.MessageID(m.Id), Type: m.Type, Priority: protocol.Priority(m.Priority), Payload: m.Payload, ContentType: m.ContentType,
		CreatedMS: m.CreatedMs, ExpiresMS: m.ExpiresMs, CollapseKey: m.CollapseKey, Headers: m.Headers,
	}
}

func (d *grpcDevice) send(f protocol.DeviceFrame) error {
	out := &ramenpb.DeviceFrame{}
	switch f.Kind {
	case protocol.FrameAck:
		out.Frame = &ramenpb.DeviceFrame_Ack{Ack: &ramenpb.Ack{Seq: uint64(f.Seq), Cursor: f.Cursor}}
	case protocol.FrameHeartbeat:
		out.Frame = &ramenpb.DeviceFrame_Heartbeat{Heartbeat: &ramenpb.Heartbeat{TimeMs: f.TimeMS}}
	case protocol.FrameRefresh:
		r := &ramenpb.Refresh{Token: f.Token}
		if c := f.Context; c != nil {
			r.Context = &ramenpb.DeviceContext{App: c.App, AppVersion: c.AppVersion, Os: c.OS, OsVersion: c.OSVersion, Model: c.Model, Locale: c.Locale, Labels: c.Labels}
		}
		out.Frame = &ramenpb.DeviceFrame_Refresh{Refresh: r}
	case protocol.FrameOpen:
		out.Frame = &ramenpb.DeviceFrame_Open{Open: &ramenpb.Open{User: string(f.Open.User), Device: string(f.Open.Device)}}
	}
	return d.rpc.Send(out)
}

func (d *grpcDevice) ack(seq protocol.Seq) error {
	return d.send(protocol.DeviceFrame{Kind: protocol.FrameAck, Seq: seq})
}

func (d *grpcDevice) echo(f protocol.ServerFrame) {
	_ = d.send(protocol.DeviceFrame{Kind: protocol.FrameHeartbeat, TimeMS: f.TimeMS}) // the end is read
}

func (d *grpcDevice) close() {
	d.cancel()
	d.cc.Close()
}
