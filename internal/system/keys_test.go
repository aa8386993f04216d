package system

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"ramen/protocol/ramenpb"
)

// A backend needs a key, and the scope for what it asks, over HTTP and gRPC alike. SPEC 8.
func TestKeysAndScopes(t *testing.T) {
	t.Parallel()
	s := serve(t, keysConfig(t))
	cc, err := s.dialer(s.addr.BackendsGRPC, false)
	if err != nil {
		t.Fatal(err)
	}
	defer cc.Close()
	b := ramenpb.NewBackendClient(cc)
	type call struct {
		name, method, path, body string
		grpc                     func(ctx context.Context) error
	}
	publishing := []call{
		{"publish", "POST", "/v1/publish", `{"user":"u1"}`, func(ctx context.Context) error {
			_, err := b.Publish(ctx, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u1"}}})
			return err
		}},
		{"recall", "DELETE", "/v1/users/u1/messages/none", "", func(ctx context.Context) error {
			_, err := b.Recall(ctx, &ramenpb.RecallRequest{User: "u1", Id: "none"})
			return err
		}},
		{"disconnect", "POST", "/v1/users/u1/disconnect", "", func(ctx context.Context) error {
			_, err := b.Disconnect(ctx, &ramenpb.DisconnectRequest{User: "u1"})
			return err
		}},
		{"publish stream", "", "", "", func(ctx context.Context) error {
			stream, err := b.PublishStream(ctx)
			if err != nil {
				return err
			}
			_ = stream.Send(&ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: "u1"}}})
			_ = stream.CloseSend()
			_, err = stream.Recv()
			return err
		}},
	}
	reading := []call{
		{"devices", "GET", "/v1/users/u1/devices", "", func(ctx context.Context) error {
			_, err := b.ListDevices(ctx, &ramenpb.ListDevicesRequest{User: "u1"})
			return err
		}},
		{"messages", "GET", "/v1/users/u1/messages", "", func(ctx context.Context) error {
			_, err := b.ListMessages(ctx, &ramenpb.ListMessagesRequest{User: "u1"})
			return err
		}},
	}
	for _, k := range []struct {
		header        string
		publish, read int // 401, 403, or 0: served
	}{
		{"", 401, 401}, {"Bearer wrong", 401, 401}, {"Basic both", 401, 401}, {"both", 401, 401}, {"Bearer ", 401, 401},
		{"Bearer publisher", 0, 403}, {"Bearer reader", 403, 0}, {"Bearer both", 0, 0}, {"bearer both", 0, 0},
	} {
		for i, calls := range [][]call{publishing, reading} {
			want := []int{k.publish, k.read}[i]
			for _, c := range calls {
				if c.method != "" {
					var header []string
					if k.header != "" {
						header = []string{"Authorization", k.header}
					}
					r := s.do(c.method, s.backendURL(c.path), c.body, header...)
					code := map[int]string{401: "unauthenticated", 403: "permission_denied"}[want]
					if want != 0 && (r.status != want || jsonCode(r.body) != code) || want == 0 && (r.status == 401 || r.status == 403) {
						t.Errorf("%s with %q: %d %s, want %d", c.name, k.header, r.status, r.body, want)
					}
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				if k.header != "" {
					ctx = metadata.AppendToOutgoingContext(ctx, "authorization", k.header)
				}
				err := c.grpc(ctx)
				cancel()
				if code := map[int]codes.Code{401: codes.Unauthenticated, 403: codes.PermissionDenied, 0: codes.OK}[want]; status.Code(err) != code {
					t.Errorf("gRPC %s with %q: %v, want %v", c.name, k.header, err, code)
				}
			}
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} { // need none
		if r := s.do("GET", s.backendURL(path), ""); r.status != 200 {
			t.Errorf("%s without a key: %d", path, r.status)
		}
	}
}

// The file of keys is read again when it changes; one that cannot be read changes nothing.
func TestKeysAreReloaded(t *testing.T) {
	t.Parallel()
	s := serve(t, keysConfig(t))
	status := func(key string) int {
		return s.do("GET", s.backendURL("/v1/users/u1/devices"), "", "Authorization", "Bearer "+key).status
	}
	if status("both") != 200 || status("later") != 401 {
		t.Fatal("the first keys do not serve")
	}
	writeFile(t, s.cfg.Auth.Keys.File, "this: is [no list")
	until(t, "a failed reload", func() string {
		return same("broken", s.metric("ramen_auth_broken_sources") > 0, true)
	})
	if status("both") != 200 {
		t.Error("a file that is broken took the good keys away")
	}
	writeKeys(t, s.cfg.Auth.Keys.File, map[string]string{"later": "read"})
	until(t, "the new key", func() string { return same("status", status("later"), 200) })
	if status("both") != 401 {
		t.Error("a key that was taken away still serves")
	}
}
