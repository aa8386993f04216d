package system

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"ramen/frontend/h2/h2test"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

const (
	deviceStream  = ramenpb.Devices_Stream_FullMethodName
	publishUnary  = ramenpb.Backend_Publish_FullMethodName
	publishStream = ramenpb.Backend_PublishStream_FullMethodName
	healthWatch   = "/grpc.health.v1.Health/Watch"
)

// hostile is a connection to a gRPC port whose frames the test writes, without a window for answers.
func hostile(t *testing.T, addr string) *h2test.Client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(2 * patience))
	h := h2test.NewClient(c, 0)
	t.Cleanup(h.Close)
	return h
}

// canary is a good device and a good publisher: what is published is pushed.
func (s *server) canary(t *testing.T, token string) (check func()) {
	t.Helper()
	d, err := s.dialGRPC(place{user: "canary", device: "d", token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	if f, err := d.next(); err != nil || f.Kind != protocol.ServerHello {
		t.Fatalf("canary: %+v, %v", f, err)
	}
	backends, ctx := s.backends(t)
	n := 0
	return func() {
		t.Helper()
		n++
		id := "canary-" + strconv.Itoa(n)
		r, err := backends.Publish(ctx, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "canary", Id: id}}})
		if err != nil || r.Results[0].Status != ramenpb.PublishResult_ACCEPTED {
			t.Fatalf("canary: publish: %v, %v", r, err)
		}
		for {
			f, err := d.next()
			if err != nil {
				t.Fatalf("canary: %v", err)
			}
			if f.Kind == protocol.ServerPush && string(f.Push.Message.ID) == id {
				d.ack(f.Push.Seq)
				return
			}
		}
	}
}

// A connection that opens calls and resets them is ended after some, on both ports, with a token or without; others notice nothing.
func TestFix16ConnectionsThatResetCallsAreEnded(t *testing.T) {
	s := secured(t)
	good := token(t, "canary", time.Hour, nil)
	check := s.canary(t, good)
	check()
	for name, c := range map[string]struct {
		addr, method string
		headers      []string
	}{
		"devices":             {s.addr.DevicesGRPC, deviceStream, nil},
		"devices, a token":    {s.addr.DevicesGRPC, deviceStream, []string{"authorization", "Bearer " + good}},
		"backends":            {s.addr.BackendsGRPC, publishUnary, nil},
		"backends, a key":     {s.addr.BackendsGRPC, publishUnary, []string{"authorization", "Bearer " + s.key}},
		"backends, streams":   {s.addr.BackendsGRPC, publishStream, []string{"authorization", "Bearer " + s.key}},
		"backends, of health": {s.addr.BackendsGRPC, healthWatch, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := hostile(t, c.addr)
			for range 20_000 {
				h.WriteRSTStream(h.Call(c.method, c.headers...), http2.ErrCodeCancel)
			}
			go h.Flush() // as far as it is read
			if !h.Calm() {
				t.Error("the connection was not ended with ENHANCE_YOUR_CALM")
			}
			check()
		})
	}
}

// A connection may have few calls at once until one has shown a good token, and is told so; then as many as the port has.
func TestFix16CallsAreFewWithoutAToken(t *testing.T) {
	s := secured(t)
	few := s.cfg.Frontend.GRPC.UnknownCalls
	h := hostile(t, s.addr.DevicesGRPC)
	h.Flush()
	if !h.Setting(http2.SettingMaxConcurrentStreams, uint32(few)) {
		t.Fatal("the connection was not told how few calls it may have")
	}
	first := h.Call(deviceStream)
	for range few + 9 {
		h.Call(deviceStream)
	}
	h.Flush()
	until(t, "calls beyond the few are refused", func() string { return same("refused", h.Statuses(grpcStatus(codes.Unavailable)), 10) })
	open, err := proto.Marshal(&ramenpb.DeviceFrame{Frame: &ramenpb.DeviceFrame_Open{Open: &ramenpb.Open{Device: "d", Token: token(t, "u", time.Hour, nil)}}})
	if err != nil {
		t.Fatal(err)
	}
	h.Message(first, open, false)
	h.Flush()
	if !h.Setting(http2.SettingMaxConcurrentStreams, uint32(s.cfg.Frontend.GRPCStreams)) {
		t.Fatal("the connection was not told that it may have more")
	}

	// Whoever has no key is refused before anything is read of him.
	b := hostile(t, s.addr.BackendsGRPC)
	for _, key := range []string{"", "Bearer wrong"} {
		id := b.Call(publishUnary, "authorization", key)
		b.WriteData(id, false, h2test.Frame(1<<20, nil))
		b.Flush()
		if got := b.Status(id); got != grpcStatus(codes.Unauthenticated) {
			t.Errorf("the key %q: status %q", key, got)
		}
	}
}

func grpcStatus(c codes.Code) string { return strconv.Itoa(int(c)) }

// Connections that never show a token take no place of others': the oldest make way.
func TestFix16ConnectionsWithoutATokenMakeWay(t *testing.T) {
	cfg := keysConfig(t)
	cfg.Frontend.GRPC.UnknownConnections, cfg.Backend.GRPC.UnknownConnections = 5, 5
	s := serve(t, cfg)
	s.key = "both"
	for _, addr := range []string{s.addr.DevicesGRPC, s.addr.BackendsGRPC} {
		first := hostile(t, addr)
		first.Flush()
		for range 7 {
			h := hostile(t, addr)
			go h.Flush()
		}
		until(t, "the oldest has made way", func() string { return same("over", first.Over(), true) })
	}
	s.canary(t, token(t, "canary", time.Hour, nil))()
}

// What heavy good clients do is no flood: calls at a high rate over one connection, cancelled ones among them, and a proxy's
// thousand streams of devices, which come and go together.
func TestFix16HeavyClientsAreServed(t *testing.T) {
	s := secured(t)
	backends, ctx := s.backends(t)
	var calls sync.WaitGroup
	for range 16 {
		calls.Go(func() {
			for i := range 300 {
				if i%10 == 0 { // the client's own deadline
					soon, cancel := context.WithTimeout(ctx, time.Millisecond)
					backends.Publish(soon, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u", TtlMs: 1000}}})
					cancel()
				} else if _, err := backends.Publish(ctx, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u", TtlMs: 1000}}}); err != nil {
					t.Errorf("publish %d: %v", i, err)
					return
				}
			}
		})
	}
	calls.Wait()

	cc, err := s.dialer(s.addr.DevicesGRPC, false)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	for range 2 {
		ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token(t, "proxied", time.Hour, nil)))
		var streams sync.WaitGroup
		for i := range 1000 {
			streams.Go(func() {
				if err := openOne(ctx, cc, fmt.Sprint("d", i%60)); err != nil {
					t.Errorf("stream %d: %v", i, err)
				}
			})
		}
		streams.Wait()
		cancel() // all at once
	}
}

// openOne opens a stream, which ends with ctx. One that is superseded was served.
func openOne(ctx context.Context, cc *grpc.ClientConn, device string) error {
	rpc, err := ramenpb.NewDevicesClient(cc).Stream(ctx)
	if err != nil {
		return err
	}
	if err := rpc.Send(&ramenpb.DeviceFrame{Frame: &ramenpb.DeviceFrame_Open{Open: &ramenpb.Open{Device: device}}}); err != nil {
		return err
	}
	if _, err = rpc.Recv(); status.Code(err) == codes.Aborted {
		return nil
	}
	return err
}

// Clients that take nothing do not hold up a shutdown.
func TestFix22ShutdownWaitsForNobodyWhoDoesNotRead(t *testing.T) {
	s := serve(t, testConfig(t, memory))
	open, err := proto.Marshal(&ramenpb.DeviceFrame{Frame: &ramenpb.DeviceFrame_Open{Open: &ramenpb.Open{User: "u", Device: "d"}}})
	if err != nil {
		t.Fatal(err)
	}
	d := hostile(t, s.addr.DevicesGRPC)
	d.Message(d.Call(deviceStream), open, false)
	d.Call(healthWatch)
	d.Flush()
	if !d.Setting(http2.SettingMaxConcurrentStreams, uint32(s.cfg.Frontend.GRPCStreams)) {
		t.Fatal("the stream was not opened")
	}
	publish, err := proto.Marshal(&ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{Users: make([]string, 1000)}}})
	if err != nil {
		t.Fatal(err)
	}
	b := hostile(t, s.addr.BackendsGRPC)
	id := b.Call(publishStream)
	for range 20 {
		b.Message(id, publish, false)
	}
	b.Message(b.Call(publishUnary), publish, true)
	b.Flush()
	until(t, "the device is known", func() string {
		return same("status", s.backend("GET", "/v1/users/u/devices", "").status, 200)
	})
	began := time.Now()
	s.end()
	if took := time.Since(began); took > s.cfg.ShutdownTime*2/3 {
		t.Errorf("the shutdown took %v", took)
	}
}

// TestFix16PipelinedShortMessagesAreServed: what PublishStream is for is no flood.
func TestFix16PipelinedShortMessagesAreServed(t *testing.T) {
	s := secured(t)
	backends, ctx := s.backends(t)
	const n = 20000
	rpc, err := backends.PublishStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			m := &ramenpb.Publish{User: fmt.Sprint("u", i%100), TtlMs: 1000, Payload: []byte("{}")}
			if err := rpc.Send(&ramenpb.PublishRequest{Messages: []*ramenpb.Publish{m}}); err != nil {
				sent <- err
				return
			}
		}
		sent <- rpc.CloseSend()
	}()
	for i := range n {
		if _, err := rpc.Recv(); err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

// TestFix16CallsRightBehindThePrefaceAreServed: a client that bears a good key may send before it has seen the server's settings.
func TestFix16CallsRightBehindThePrefaceAreServed(t *testing.T) {
	s := secured(t)
	backends, ctx := s.backends(t)
	var calls sync.WaitGroup
	for range 300 { // on a connection that is made for the first of them
		calls.Go(func() {
			if _, err := backends.Publish(ctx, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u", TtlMs: 1000}}}); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
}
