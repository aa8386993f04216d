package backend

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ramen/link"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

func request(messages ...*ramenpb.Publish) *ramenpb.PublishRequest {
	return &ramenpb.PublishRequest{Messages: messages}
}

func wantStatus(t *testing.T, what string, err error, code codes.Code, text string) {
	t.Helper()
	if s := status.Convert(err); s.Code() != code || !strings.Contains(s.Message(), text) {
		t.Errorf("%s: %v %q, want %v %q", what, s.Code(), s.Message(), code, text)
	}
}

func TestPublishOverGRPC(t *testing.T) {
	r := newRig(t, nil, nil)
	got, err := r.grpc.Publish(t.Context(), request(
		&ramenpb.Publish{User: "u1", Id: "m1", Type: "trip.offer", Priority: ramenpb.Priority_PRIORITY_HIGH, Payload: []byte(`{ "a": 1 }`), TtlMs: 5000,
			CollapseKey: "k", Headers: map[string]string{"h": "v"}, Where: map[string]string{"os": "ios"}, Device: "d"},
		&ramenpb.Publish{User: "u1", Id: "m1"},
		&ramenpb.Publish{User: "u1", Id: "m2", Priority: 9},
		&ramenpb.Publish{User: "u1", Id: "m3", Payload: []byte("{")},
		&ramenpb.Publish{Users: []string{"a", ""}, Payload: []byte{0, 1}, ContentType: "application/x"},
	), grpc.UseCompressor(gzip.Name))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, res := range got.Results {
		lines = append(lines, fmt.Sprintf("%v %d %s", res.Status, res.Devices, res.Error.GetMessage()))
	}
	want := `ACCEPTED 2 
DUPLICATE 2 
REJECTED 0 priority is 9: it must be 1 (high), 2 (medium), 3 (low), or 0 for medium
REJECTED 0 payload is not one JSON value: it ends too early, at byte 1; send valid JSON, or set content_type
ACCEPTED 2 
REJECTED 0 user is missing: it must be 1 to 128 bytes of printable UTF-8 without spaces`
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if p := r.asked()[0]; string(p.Message.Payload) != `{"a":1}` || p.Device != "d" || p.TTLMS != 5000 || p.Where["os"] != "ios" || p.Message.Headers["h"] != "v" || p.Message.CollapseKey != "k" {
		t.Errorf("the gateway was asked for %+v %+v", p, p.Message)
	}
}

func TestGRPCRequestsRefusedAsAWhole(t *testing.T) {
	r := newRig(t, nil, nil)
	many := make([]string, 1001)
	for i := range many {
		many[i] = "u"
	}
	large := make([]byte, 4<<20)
	for _, c := range []struct {
		name string
		in   *ramenpb.PublishRequest
		code codes.Code
		text string
	}{
		{"no messages", request(), codes.InvalidArgument, "the request has no messages: send 1 to 1000"},
		{"too many", request(&ramenpb.Publish{Users: many}), codes.InvalidArgument, "the request has over 1000 messages"},
		{"over 4 MiB", request(&ramenpb.Publish{User: "u", Payload: large}), codes.ResourceExhausted, "larger than max"},
	} {
		_, err := r.grpc.Publish(t.Context(), c.in)
		wantStatus(t, c.name, err, c.code, c.text)
		stream, err := r.grpc.PublishStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := stream.Send(request(&ramenpb.Publish{User: "ok"})); err != nil {
				t.Fatal(err)
			}
		}
		// grpc itself ends a stream for what is over 4 MiB, at once; what we refuse waits for the answers before it.
		ours := c.code != codes.ResourceExhausted
		if ours {
			stream.Send(c.in)
		}
		for i := range 3 { // what was answered before stands
			if got, err := stream.Recv(); err != nil || got.Results[0].Status != ramenpb.PublishResult_ACCEPTED {
				t.Errorf("%s: answer %d is %v %v", c.name, i, got, err)
			}
		}
		if !ours {
			stream.Send(c.in)
		}
		_, err = stream.Recv()
		wantStatus(t, c.name+", in a stream", err, c.code, c.text)
	}
}

func TestKeysAndScopesOverGRPC(t *testing.T) {
	keys, publish, read, both := keyring(t)
	r := newRig(t, nil, keys)
	calls := map[string]struct {
		needs string
		do    func(context.Context) error
	}{
		"Publish": {publish, func(ctx context.Context) error {
			_, err := r.grpc.Publish(ctx, request(&ramenpb.Publish{User: "u"}))
			return err
		}},
		"PublishStream": {publish, func(ctx context.Context) error {
			s, err := r.grpc.PublishStream(ctx)
			if err == nil {
				s.Send(request(&ramenpb.Publish{User: "u"}))
				s.CloseSend()
				_, err = s.Recv()
			}
			return err
		}},
		"Recall": {publish, func(ctx context.Context) error {
			_, err := r.grpc.Recall(ctx, &ramenpb.RecallRequest{User: "u", Id: "m"})
			return err
		}},
		"Disconnect": {publish, func(ctx context.Context) error {
			_, err := r.grpc.Disconnect(ctx, &ramenpb.DisconnectRequest{User: "u"})
			return err
		}},
		"ListDevices": {read, func(ctx context.Context) error {
			_, err := r.grpc.ListDevices(ctx, &ramenpb.ListDevicesRequest{User: "u"})
			return err
		}},
		"ListMessages": {read, func(ctx context.Context) error {
			_, err := r.grpc.ListMessages(ctx, &ramenpb.ListMessagesRequest{User: "u"})
			return err
		}},
	}
	for name, c := range calls {
		other := publish
		if c.needs == publish {
			other = read
		}
		for key, want := range map[string]codes.Code{"": codes.Unauthenticated, "Bearer wrong": codes.Unauthenticated, other: codes.PermissionDenied, c.needs: codes.OK, both: codes.OK} {
			ctx := t.Context()
			if key != "" {
				ctx = metadata.AppendToOutgoingContext(ctx, "authorization", key)
			}
			wantStatus(t, name, c.do(ctx), want, "")
		}
	}
}

func TestErrorsAsStatuses(t *testing.T) {
	r := newRig(t, nil, nil)
	for code, want := range map[protocol.Code]codes.Code{
		protocol.CodeInvalidArgument: codes.InvalidArgument, protocol.CodeNotFound: codes.NotFound, protocol.CodeTooLarge: codes.ResourceExhausted,
		protocol.CodeResourceExhausted: codes.ResourceExhausted, protocol.CodeUnavailable: codes.Unavailable, protocol.CodeInternal: codes.Internal,
	} {
		r.err = protocol.Errorf(code, "because")
		_, err := r.grpc.ListDevices(t.Context(), &ramenpb.ListDevicesRequest{User: "u"})
		wantStatus(t, string(code), err, want, "because")
		if res, body := r.do(t, "GET", "/v1/users/u/devices", ""); res.StatusCode != code.HTTPStatus() || !strings.Contains(body, string(code)) {
			t.Errorf("%s: %d %s", code, res.StatusCode, body)
		}
	}
}

func TestPublishStreamAnswersInOrderAndAsksTogether(t *testing.T) {
	r := newRig(t, nil, nil)
	r.held, r.entered = make(chan struct{}), make(chan struct{}, 1000)
	stream, err := r.grpc.PublishStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	for i := range n {
		in := request(&ramenpb.Publish{User: "u", Id: fmt.Sprint("m", i)})
		if i%10 == 3 {
			in = request(&ramenpb.Publish{User: "a b", Id: fmt.Sprint("m", i)}, &ramenpb.Publish{User: "u", Id: fmt.Sprint("n", i)})
		}
		if err := stream.Send(in); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			<-r.entered // the first is on its way: the others gather behind it
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	close(r.held)
	for i := range n {
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(i, err)
		}
		if got.Results[0].Id != fmt.Sprint("m", i) {
			t.Fatalf("answer %d is %v", i, got)
		}
		if i%10 == 3 && (len(got.Results) != 2 || got.Results[0].Status != ramenpb.PublishResult_REJECTED || got.Results[1].Status != ramenpb.PublishResult_ACCEPTED) {
			t.Fatalf("answer %d is %v", i, got)
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
	for i, p := range r.asked() {
		if id := string(p.Message.ID); id[1:] != fmt.Sprint(i) {
			t.Fatalf("message %d of the stream was asked for in place %d", i, i)
		}
	}
	if calls := len(r.batches); calls > n/2 {
		t.Errorf("%d requests made %d calls", n, calls)
	}
	for _, b := range r.batches {
		if len(b) > 1000 {
			t.Errorf("a call has %d messages", len(b))
		}
	}
}

func TestPublishStreamReadsAheadWithinBounds(t *testing.T) {
	r := newRig(t, func(c *Config) { c.StreamRequests = 4 }, nil)
	r.held, r.entered = make(chan struct{}), make(chan struct{}, 1000)
	stream, err := r.grpc.PublishStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	payload := `"` + strings.Repeat("x", 60<<10) + `"`
	const n = 100 // 6 MB: more than flow control lets through
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			if err := stream.Send(request(&ramenpb.Publish{User: "u", Id: fmt.Sprint(i), Payload: []byte(payload)})); err != nil {
				sent <- err
				return
			}
		}
		sent <- stream.CloseSend()
	}()
	<-r.entered
	select {
	case err := <-sent:
		t.Error("everything was read while nothing was answered", err)
	default:
	}
	close(r.held)
	for i := range n {
		if got, err := stream.Recv(); err != nil || got.Results[0].Id != fmt.Sprint(i) {
			t.Fatal(i, got, err)
		}
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatal(err)
	}
	if n := r.server.room.usedNow(); n != 0 {
		t.Error("bytes are under way after the last answer")
	}
}

func TestCutPublishStreamLeavesNothingUnderWay(t *testing.T) {
	r := newRig(t, nil, nil)
	r.held, r.entered = make(chan struct{}), make(chan struct{}, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := r.grpc.PublishStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		if err := stream.Send(request(&ramenpb.Publish{User: "u", Id: fmt.Sprint(i)})); err != nil {
			t.Fatal(err)
		}
	}
	<-r.entered
	cancel()
	close(r.held)
	if err := r.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.server.room.usedNow(); n != 0 {
		t.Error("bytes of a stream that is gone are under way")
	}
}

func TestDrainAnswersWhatWasReadAndEndsPublishStreams(t *testing.T) {
	r := newRig(t, nil, nil)
	stream, err := r.grpc.PublishStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(request(&ramenpb.Publish{User: "u", Id: "m"})); err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	wantStatus(t, "a stream that was open", err, codes.Unavailable, "this server is shutting down")
	late, err := r.grpc.PublishStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = late.Recv()
	wantStatus(t, "a stream that comes late", err, codes.Unavailable, "this server is shutting down")
	if _, err := r.grpc.Publish(t.Context(), request(&ramenpb.Publish{User: "u"})); err != nil {
		t.Error("a publish by itself:", err)
	}
}

func TestRejectedByTheGatewayOverGRPC(t *testing.T) {
	r := newRig(t, nil, nil)
	r.result = func(link.Publish) (link.Result, bool) {
		return link.Result{Status: link.StatusRejected, Err: protocol.Errorf(protocol.CodeResourceExhausted, "full")}, true
	}
	got, err := r.grpc.Publish(t.Context(), request(&ramenpb.Publish{User: "u", Id: "m"}))
	if err != nil || got.Results[0].Status != ramenpb.PublishResult_REJECTED || got.Results[0].Error.Code != "resource_exhausted" || got.Results[0].Id != "m" {
		t.Fatal(got, err)
	}
}
