package system

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"ramen/protocol/ramenpb"
)

// The two sides share no port. SPEC 3.
func TestPortsShareNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	for _, path := range []string{"/v1/publish", "/v1/users/u/devices", "/metrics", "/debug/check", "/debug/pprof/", "/", "/ramen", "/ramen/receive/"} {
		r := s.do("GET", s.deviceURL(path), "")
		if e, err := errorOf(r.body); r.status != 404 || err != nil || e.Code != "not_found" {
			t.Errorf("8080 %s: %d %s", path, r.status, r.body)
		}
	}
	for _, path := range []string{"/ramen/receive?user=u&device=d", "/ramen/ws", "/ramen/poll", "/ramen/ack"} {
		if r := s.backend("GET", path, ""); r.status != 404 {
			t.Errorf("9080 %s: %d %s", path, r.status, r.body)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	devices, err := s.dialer(s.addr.DevicesGRPC, false)
	if err != nil {
		t.Fatal(err)
	}
	defer devices.Close()
	backends, err := s.dialer(s.addr.BackendsGRPC, false)
	if err != nil {
		t.Fatal(err)
	}
	defer backends.Close()
	if _, err := ramenpb.NewBackendClient(devices).Publish(ctx, &ramenpb.PublishRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("publish on 8081: %v", err)
	}
	stream, err := ramenpb.NewDevicesClient(backends).Stream(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unimplemented {
		t.Errorf("a device's stream on 9081: %v", err)
	}
}

// Health for load balancers on the devices' ports, with detail on the backends'. SPEC 3, 8.
func TestHealth(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, memory)
	cfg.Frontend.DrainTime = 2 * time.Second
	s := serve(t, cfg)
	for _, path := range []string{"/healthz", "/readyz"} {
		for _, url := range []string{s.deviceURL(path), s.backendURL(path)} {
			if r := s.do("GET", url, ""); r.status != 200 {
				t.Errorf("GET %s: %d %s", url, r.status, r.body)
			}
			if r := s.do("HEAD", url, ""); r.status != 200 {
				t.Errorf("HEAD %s: %d", url, r.status)
			}
		}
	}
	if r := s.backend("GET", "/metrics", ""); r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/plain") || ledger(r.body) != "" {
		t.Errorf("/metrics: %d %s %s", r.status, r.header.Get("Content-Type"), ledger(r.body))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range []struct{ addr, service string }{{s.addr.DevicesGRPC, "ramen.v1.Devices"}, {s.addr.BackendsGRPC, "ramen.v1.Backend"}} {
		cc, err := s.dialer(p.addr, false)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		for _, name := range []string{"", p.service} {
			if r, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{Service: name}); err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
				t.Errorf("health of %q: %v %v", name, r, err)
			}
		}
		r, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		in, err := r.Recv()
		if err != nil || !strings.Contains(in.GetListServicesResponse().String(), p.service) {
			t.Errorf("reflection: %v %v", in, err)
		}
		_ = r.CloseSend()
		_, _ = r.Recv()
	}
	s.open(t, "sse", place{user: "u1", device: "d1"}) // holds the drain up
	s.running.Stop()
	for _, url := range []string{s.deviceURL("/readyz"), s.backendURL("/readyz")} {
		until(t, url, func() string {
			r, err := s.try("GET", url, "")
			if err != nil {
				return err.Error()
			}
			return same("status", r.status, 503)
		})
	}
	if r := s.do("GET", s.deviceURL("/healthz"), ""); r.status != 200 {
		t.Errorf("/healthz while draining: %d", r.status)
	}
}

// TestFix21HealthFollowsReadiness: with the memory full of high priority the backends' side is not ready, and says why, over HTTP and
// gRPC; the devices' is.
func TestFix21HealthFollowsReadiness(t *testing.T) {
	t.Parallel()
	cfg := testConfig(t, memory)
	cfg.Gateway.MemoryBytes = 16 << 20
	cfg.Backend.Publish.MaxPayload = 1 << 20
	s := serve(t, cfg)
	payload := strings.Repeat("x", 1<<19)
	for i := 0; ; i++ {
		r := s.backend("POST", "/v1/publish", encode(msg{"user": "u" + strconv.Itoa(i), "priority": "high", "payload": payload}))
		if r.status == 503 {
			break
		}
		if r.status != 200 || i > 64 {
			t.Fatalf("publish %d: %d %s", i, r.status, r.body)
		}
	}
	if r := s.do("GET", s.backendURL("/readyz"), ""); r.status != 503 || !strings.Contains(r.body, "memory") {
		t.Errorf("backends: %d %s", r.status, r.body)
	}
	if r := s.do("GET", s.deviceURL("/readyz"), ""); r.status != 200 {
		t.Errorf("devices: %d %s", r.status, r.body)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range []struct {
		addr, service string
		want          healthpb.HealthCheckResponse_ServingStatus
	}{
		{s.addr.BackendsGRPC, "ramen.v1.Backend", healthpb.HealthCheckResponse_NOT_SERVING},
		{s.addr.BackendsGRPC, "", healthpb.HealthCheckResponse_SERVING},
		{s.addr.DevicesGRPC, "ramen.v1.Devices", healthpb.HealthCheckResponse_SERVING},
	} {
		cc, err := s.dialer(p.addr, false)
		if err != nil {
			t.Fatal(err)
		}
		defer cc.Close()
		until(t, p.service, func() string {
			r, err := healthpb.NewHealthClient(cc).Check(ctx, &healthpb.HealthCheckRequest{Service: p.service})
			if err != nil {
				return err.Error()
			}
			return same("status", r.Status, p.want)
		})
	}
}

// A method that is not the path's is 405 with Allow, and an error's body. SPEC 4.
func TestMethodsAreAllowed(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	for _, call := range []struct{ url, method, allow string }{
		{s.deviceURL("/ramen/receive?user=u&device=d"), "POST", "GET"},
		{s.deviceURL("/ramen/ws"), "POST", "GET"},
		{s.deviceURL("/ramen/poll"), "DELETE", "GET"},
		{s.deviceURL("/ramen/ack"), "PUT", "POST"},
		{s.deviceURL("/ramen/ack"), "PUT", "GET"},
		{s.backendURL("/v1/publish"), "GET", "POST"},
		{s.backendURL("/v1/users/u/devices"), "POST", "GET"},
		{s.backendURL("/v1/users/u/messages"), "DELETE", "GET"},
		{s.backendURL("/v1/users/u/messages/m"), "GET", "DELETE"},
		{s.backendURL("/v1/users/u/disconnect"), "GET", "POST"},
	} {
		r := s.do(call.method, call.url, "")
		e, err := errorOf(r.body)
		if r.status != http.StatusMethodNotAllowed || err != nil || e.Code != "invalid_argument" || !strings.Contains(r.header.Get("Allow"), call.allow) {
			t.Errorf("%s %s: %d, Allow %q, %s %v", call.method, call.url, r.status, r.header.Get("Allow"), r.body, err)
		}
	}
	for _, path := range []string{"/v1/nothing", "/v1/users/u", "/v1/users/u/nothing"} {
		r := s.backend("GET", path, "")
		if e, err := errorOf(r.body); r.status != 404 || err != nil || e.Code != "not_found" {
			t.Errorf("GET %s: %d %s %v", path, r.status, r.body, err)
		}
	}
}
