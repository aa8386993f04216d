package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ramen/protocol/ramenpb"
)

// backends is the gRPC service of port 9081.
func (s *server) backends(t *testing.T) (ramenpb.BackendClient, context.Context) {
	t.Helper()
	cc, err := s.dialer(s.addr.BackendsGRPC, s.cfg.TLS.Backends.Configured())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(func() { cancel(); cc.Close() })
	if s.key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+s.key)
	}
	return ramenpb.NewBackendClient(cc), ctx
}

// HTTP and gRPC show the same mailbox and the same devices. SPEC 8.
func TestHTTPAndGRPCShowTheSame(t *testing.T) {
	each(t, stores, nil, func(t *testing.T, s *server) {
		b, ctx := s.backends(t)
		r, err := b.Publish(ctx, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{
			{User: "u1", Id: "g-1", Type: "t", Priority: ramenpb.Priority_PRIORITY_LOW, Payload: []byte(` {"a": 1} `), TtlMs: 60000, CollapseKey: "k", Headers: map[string]string{"h": "v"}},
			{User: "u1", Id: "g-2", Payload: []byte{0, 255}, ContentType: "x/y"},
			{User: "u1", Id: "g-2"},
			{User: "u 1"},
			{Users: []string{"u1", "u2"}, Id: "g-3", Priority: ramenpb.Priority_PRIORITY_HIGH},
			{User: "u1", Id: "big", Payload: []byte(`"` + strings.Repeat("x", 16<<10) + `"`)},
			{User: "u1", Id: "16k", Payload: []byte(`"` + strings.Repeat("x", 16<<10-2) + `"`)},
		}})
		if err != nil {
			t.Fatal(err)
		}
		var statuses []string
		for _, x := range r.Results {
			statuses = append(statuses, x.Id+" "+x.Status.String())
		}
		equal(t, "results", append(statuses[:3:3], statuses[4:]...), []string{"g-1 ACCEPTED", "g-2 ACCEPTED", "g-2 DUPLICATE", "g-3 ACCEPTED", "g-3 ACCEPTED", "big ACCEPTED", "16k ACCEPTED"})
		if x := r.Results[3]; x.Status != ramenpb.PublishResult_REJECTED || x.Error.GetCode() != "invalid_argument" || x.Error.GetMessage() == "" {
			t.Errorf("a bad user: %v", x)
		}
		var over struct{ Messages []map[string]any }
		s.decode(s.list("u1", "messages"), &over)
		list, err := b.ListMessages(ctx, &ramenpb.ListMessagesRequest{User: "u1"})
		if err != nil || len(list.Messages) != len(over.Messages) {
			t.Fatalf("%v, %v; over HTTP %v", list, err, over)
		}
		for i, m := range list.Messages {
			h := over.Messages[i]
			if h["id"] != m.Id || h["priority"] != strings.ToLower(strings.TrimPrefix(m.Priority.String(), "PRIORITY_")) || h["created_ms"] != float64(m.CreatedMs) || h["expires_ms"] != float64(m.ExpiresMs) {
				t.Errorf("gRPC %v, HTTP %v", m, h)
			}
			payload, _ := h["payload"].(string)
			switch m.Id {
			case "g-1":
				if string(m.Payload) != `{"a":1}` || !strings.Contains(s.list("u1", "messages"), `"payload":{"a":1}`) || m.CollapseKey != "k" || h["collapse_key"] != "k" || m.Headers["h"] != "v" || m.Type != "t" || m.ContentType != "application/json" {
					t.Errorf("gRPC %v, HTTP %v", m, h)
				}
			case "g-2":
				if string(m.Payload) != "\x00\xff" || h["payload_b64"] != "AP8=" || m.ContentType != "x/y" || h["content_type"] != "x/y" {
					t.Errorf("gRPC %v, HTTP %v", m, h)
				}
			case "big":
				if len(m.Payload) != 0 || h["payload"] != nil {
					t.Errorf("a payload over 16 KiB is listed")
				}
			case "16k":
				if len(m.Payload) != 16<<10 || len(payload) != 16<<10-2 {
					t.Errorf("a payload of 16 KiB is not listed")
				}
			}
		}
		c := s.open(t, "grpc", place{user: "u1", device: "d1", context: map[string]string{"os": "ios", "label.a": "b"}})
		equal(t, "pushed", c.ids(2), []string{"g-3", "g-2"})
		until(t, "the same list", func() string {
			d, err := b.ListDevices(ctx, &ramenpb.ListDevicesRequest{User: "u1"})
			if err != nil || len(d.Devices) != 1 {
				t.Fatalf("%v, %v", d, err)
			}
			h, g := s.devices("u1")["d1"], d.Devices[0]
			if h.Device != g.Device || h.Online != g.Online || h.Transport != "grpc" || g.Transport != "grpc" || h.ConnectedMS != g.ConnectedMs || h.Pending != int(g.Pending) ||
				h.Unacked != int(g.Unacked) || g.Context.Os != "ios" || h.Context.OS != "ios" || g.Context.Labels["a"] != "b" || h.Pending != 5 {
				return fmt.Sprintf("gRPC %v, HTTP %+v", g, h)
			}
			return ""
		})
		if r, err := b.Recall(ctx, &ramenpb.RecallRequest{User: "u1", Id: "g-1"}); err != nil || !r.Recalled {
			t.Errorf("recall: %v, %v", r, err)
		}
		if r, err := b.Recall(ctx, &ramenpb.RecallRequest{User: "u1", Id: "g-1"}); err != nil || r.Recalled {
			t.Errorf("recall again: %v, %v", r, err)
		}
		if r, err := b.Disconnect(ctx, &ramenpb.DisconnectRequest{User: "u1", Device: "d1", Detail: "bye"}); err != nil || r.Streams != 1 {
			t.Errorf("disconnect: %v, %v", r, err)
		}
		if e := c.end(); e.goaway == nil || e.goaway.Detail != "bye" {
			t.Errorf("%v", e)
		}
		if s.list("nobody", "messages") != "{\"messages\":[]}\n" && s.list("nobody", "messages") != `{"messages":[]}` {
			t.Errorf("a list that is empty is %q", s.list("nobody", "messages"))
		}
		for _, bad := range []error{
			second(b.ListDevices(ctx, &ramenpb.ListDevicesRequest{})), second(b.Recall(ctx, &ramenpb.RecallRequest{User: "u1"})), second(b.Publish(ctx, &ramenpb.PublishRequest{})),
		} {
			if status.Code(bad) != codes.InvalidArgument {
				t.Errorf("a call without what it needs: %v", bad)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }

// PublishStream answers in the order of its requests, and ends with INVALID_ARGUMENT for a bad one; what was answered stands.
func TestPublishStreamKeepsTheOrder(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, pebble))
	b, ctx := s.backends(t)
	stream, err := b.PublishStream(ctx, grpc.UseCompressor(gzip.Name))
	if err != nil {
		t.Fatal(err)
	}
	const n = 300
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := stream.Send(&ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u1", Id: "a-" + strconv.Itoa(i)}, {User: "u1", Id: "b-" + strconv.Itoa(i)}}}); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.Send(&ramenpb.PublishRequest{})
	}()
	var want []string
	for i := range n {
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		a, b := "a-"+strconv.Itoa(i), "b-"+strconv.Itoa(i)
		if len(r.Results) != 2 || r.Results[0].Id != a || r.Results[1].Id != b || r.Results[1].Status != ramenpb.PublishResult_ACCEPTED {
			t.Fatalf("answer %d is %v", i, r)
		}
		want = append(want, a, b)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a request without messages: %v", err)
	}
	equal(t, "what waits", s.waiting("u1"), want)
	tooMany := &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{Users: slices.Repeat([]string{"u"}, 1001)}}}
	if _, err := b.Publish(ctx, tooMany); status.Code(err) != codes.InvalidArgument {
		t.Errorf("1,001 users: %v", err)
	}
	stream, err = b.PublishStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(tooMany); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Errorf("1,001 users on a stream: %v", err)
	}
	stream, err = b.PublishStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("a stream of nothing: %v", err)
	}
	over := &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u", Payload: make([]byte, 4<<20)}}}
	if _, err := b.Publish(ctx, over); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over 4 MiB: %v", err)
	}
	s.checkLedger()
}
