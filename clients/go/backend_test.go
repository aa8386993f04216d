package ramen

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// publishServer takes publishes over both ports and answers them by a script.
type publishServer struct {
	t    testing.TB
	URL  string
	GRPC string

	// answer is one message's result, for one user; n counts the requests, from 0.
	answer func(n int, p *protocol.Publish, user string) protocol.PublishResult
	// refuse refuses a whole request, or (code "cut") breaks the connection; nil: none.
	refuse func(n int) *protocol.Error

	mu       sync.Mutex
	requests [][]protocol.Publish // guarded by mu
	keys     []string             // guarded by mu
	count    int                  // guarded by mu
}

func accept(_ int, p *protocol.Publish, _ string) protocol.PublishResult {
	return protocol.PublishResult{ID: p.ID, Status: protocol.PublishAccepted, Devices: 1}
}

func newPublishServer(t testing.TB) *publishServer {
	s := &publishServer{t: t, answer: accept}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/publish", s.publishHTTP)
	mux.HandleFunc("GET /v1/users/{user}/devices", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"devices":[{"device":"d1","online":true,"transport":"ws","context":{"app":"a","labels":{"x":"y"}},"connected_ms":1000,"last_seen_ms":2000,"pending":3,"unacked":2,"rtt_ms":7}]}`)
	})
	mux.HandleFunc("GET /v1/users/{user}/messages", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"messages":[{"id":"m1","type":"t","priority":"high","payload":{"n":1},"created_ms":1,"expires_ms":2},{"id":"m2","priority":"low","payload_b64":"AQI=","content_type":"x/y"}]}`)
	})
	mux.HandleFunc("DELETE /v1/users/{user}/messages/{id}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != "there" || r.PathValue("user") != "a/b" {
			refuse(w, protocol.Errorf(protocol.CodeNotFound, "no such message"))
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /v1/users/{user}/disconnect", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["device"] != "d1" {
			t.Errorf("disconnect %v: %v", body, err)
		}
		_, _ = io.WriteString(w, `{"streams":1}`)
	})
	h := httptest.NewServer(mux)
	s.URL = h.URL
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.GRPC = l.Addr().String()
	g := grpc.NewServer()
	ramenpb.RegisterBackendServer(g, &grpcBackendServer{s: s})
	var served sync.WaitGroup
	served.Go(func() { _ = g.Serve(l) })
	t.Cleanup(func() {
		g.Stop()
		served.Wait()
		h.Close()
	})
	return s
}

// take notes a request and answers it.
func (s *publishServer) take(ms []protocol.Publish, key string) ([]protocol.PublishResult, *protocol.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.count
	s.count++
	s.requests = append(s.requests, ms)
	s.keys = append(s.keys, key)
	if s.refuse != nil {
		if e := s.refuse(n); e != nil {
			return nil, e
		}
	}
	var results []protocol.PublishResult
	for i := range ms {
		users := ms[i].Users
		if len(users) == 0 {
			users = []string{ms[i].User}
		}
		for _, u := range users {
			results = append(results, s.answer(n, &ms[i], u))
		}
	}
	return results, nil
}

func (s *publishServer) seen() [][]protocol.Publish {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]protocol.Publish(nil), s.requests...)
}

func (s *publishServer) publishHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	limits := protocol.DefaultPublishLimits()
	ms, _, err := protocol.DecodePublishJSON(nil, body, &limits)
	if err != nil {
		s.t.Errorf("publish %s: %v", body, err)
	}
	results, refused := s.take(ms, r.Header.Get("Authorization"))
	switch {
	case refused != nil && refused.Code == "cut":
		panic(http.ErrAbortHandler)
	case refused != nil:
		refuse(w, refused)
	default:
		_, _ = w.Write(protocol.AppendPublishResults(nil, results))
	}
}

type grpcBackendServer struct {
	ramenpb.UnimplementedBackendServer
	s *publishServer
}

func (b *grpcBackendServer) PublishStream(g grpc.BidiStreamingServer[ramenpb.PublishRequest, ramenpb.PublishResponse]) error {
	md, _ := metadata.FromIncomingContext(g.Context())
	for {
		req, err := g.Recv()
		if err != nil {
			return nil
		}
		raw, _ := proto.Marshal(req)
		limits := protocol.DefaultPublishLimits()
		ms, err := protocol.DecodePublishProto(nil, raw, &limits)
		if err != nil {
			b.s.t.Errorf("publish: %v", err)
		}
		results, refused := b.s.take(ms, strings.Join(md["authorization"], ","))
		if refused != nil {
			code := codes.Unavailable
			if refused.Code == protocol.CodeUnauthenticated {
				code = codes.Unauthenticated
			}
			return status.Error(code, refused.Message)
		}
		var resp ramenpb.PublishResponse
		if err := proto.Unmarshal(protocol.AppendPublishResultsProto(nil, results), &resp); err != nil {
			b.s.t.Error(err)
		}
		if err := g.Send(&resp); err != nil {
			return err
		}
	}
}

func (b *grpcBackendServer) ListDevices(context.Context, *ramenpb.ListDevicesRequest) (*ramenpb.ListDevicesResponse, error) {
	return &ramenpb.ListDevicesResponse{Devices: []*ramenpb.Device{{Device: "d1", Online: true, Transport: "ws",
		Context: &ramenpb.DeviceContext{App: "a", Labels: map[string]string{"x": "y"}}, ConnectedMs: 1000, LastSeenMs: 2000, Pending: 3, Unacked: 2, RttMs: 7}}}, nil
}

func (b *grpcBackendServer) ListMessages(context.Context, *ramenpb.ListMessagesRequest) (*ramenpb.ListMessagesResponse, error) {
	return &ramenpb.ListMessagesResponse{Messages: []*ramenpb.Message{
		{Id: "m1", Type: "t", Priority: ramenpb.Priority_PRIORITY_HIGH, Payload: []byte(`{"n":1}`), ContentType: "application/json", CreatedMs: 1, ExpiresMs: 2},
		{Id: "m2", Priority: ramenpb.Priority_PRIORITY_LOW, Payload: []byte{1, 2}, ContentType: "x/y"},
	}}, nil
}

func (b *grpcBackendServer) Recall(_ context.Context, r *ramenpb.RecallRequest) (*ramenpb.RecallResponse, error) {
	return &ramenpb.RecallResponse{Recalled: r.Id == "there" && r.User == "a/b"}, nil
}

func (b *grpcBackendServer) Disconnect(_ context.Context, r *ramenpb.DisconnectRequest) (*ramenpb.DisconnectResponse, error) {
	if r.Device != "d1" {
		return nil, errors.New("wrong device")
	}
	return &ramenpb.DisconnectResponse{Streams: 1}, nil
}
