package backend

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"ramen/frontend/auth"
	"ramen/frontend/route"
	"ramen/link"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
	"ramen/topology"
)

// gateway is a small owner of everything: it keeps what it is given and tells repeats. Other calls answer what a test sets.
type gateway struct {
	unasked // Open and Ack are no matter of backends

	mu       sync.Mutex
	batches  [][]link.Publish
	seen     map[string]bool
	result   func(p link.Publish) (link.Result, bool) // takes precedence, where true
	held     chan struct{}                            // not nil: Publish waits until it is closed
	entered  chan struct{}                            // not nil: told of each Publish that begins
	devices  []link.Device
	messages []*protocol.Message
	err      error // of every other call
	told     []string
}

type unasked = link.Gateway

func (g *gateway) Dial(*topology.Member) (link.Gateway, bool) { return g, true }

func (g *gateway) Publish(ctx context.Context, batch []link.Publish) []link.Result {
	if g.entered != nil {
		g.entered <- struct{}{}
	}
	if g.held != nil {
		select {
		case <-g.held:
		case <-ctx.Done():
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches = append(g.batches, batch)
	results := make([]link.Result, len(batch))
	for i, p := range batch {
		if g.result != nil {
			if r, ok := g.result(p); ok {
				results[i] = r
				continue
			}
		}
		key := string(p.User) + " " + string(p.Message.ID)
		results[i] = link.Result{Status: link.StatusAccepted, Devices: 2}
		if g.seen[key] {
			results[i].Status = link.StatusDuplicate
		}
		g.seen[key] = true
	}
	return results
}

func (g *gateway) tell(format string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.told = append(g.told, fmt.Sprintf(format, args...))
}

func (g *gateway) Devices(_ context.Context, _ link.Route, user protocol.UserID) ([]link.Device, error) {
	g.tell("devices %s", user)
	return g.devices, g.err
}

func (g *gateway) Messages(_ context.Context, _ link.Route, user protocol.UserID, _ link.Page) (link.MessagePage, error) {
	g.tell("messages %s", user)
	return link.MessagePage{Messages: g.messages}, g.err
}

func (g *gateway) Recall(_ context.Context, _ link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
	g.tell("recall %s %s", user, id)
	return id == "waits", g.err
}

func (g *gateway) Disconnect(_ context.Context, _ link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
	g.tell("disconnect %s %q %q", user, device, detail)
	return 3, g.err
}

// asked is every message that the gateway was asked for, in order.
func (g *gateway) asked() []link.Publish {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []link.Publish
	for _, b := range g.batches {
		all = append(all, b...)
	}
	return all
}

// rig is a server on real sockets, over a router, over the gateway.
type rig struct {
	*gateway
	server *Server
	reg    *prometheus.Registry
	url    string
	grpc   ramenpb.BackendClient
	conn   *grpc.ClientConn
}

// grpcOptions are more options of every rig's gRPC server; for one test that is not parallel.
var grpcOptions []grpc.ServerOption

func newRig(t testing.TB, change func(*Config), keys *auth.Keys) *rig {
	t.Helper()
	cfg := Default()
	if change != nil {
		change(&cfg)
	}
	g := &gateway{seen: make(map[string]bool)}
	routing := route.Default()
	reg := prometheus.NewRegistry()
	s, err := New(cfg, route.New(routing, topology.NewStatic("one", 1, 16), g), keys, reg)
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gs := grpc.NewServer(append(s.GRPCOptions(nil), grpcOptions...)...)
	s.RegisterGRPC(gs)
	served := make(chan error, 1)
	go func() { served <- gs.Serve(s.GRPCListener(lis)) }()
	conn, err := grpc.NewClient(lis.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(16<<20), grpc.MaxCallRecvMsgSize(64<<20)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); gs.Stop(); <-served; s.Drain(context.Background()); s.Close() })
	return &rig{gateway: g, server: s, reg: reg, url: serve(t, s.Handler(nil)), grpc: ramenpb.NewBackendClient(conn), conn: conn}
}

// serve is the address of a server of h.
func serve(t testing.TB, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(func() { http.DefaultTransport.(*http.Transport).CloseIdleConnections(); s.Close() })
	return s.URL
}

// do makes one HTTP request. headers are pairs.
func (r *rig) do(t testing.TB, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, r.url+path, bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
			continue
		}
		req.Header.Add(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, strings.TrimSuffix(string(got), "\n") // an answer ends its line
}

// keyring is a file of three keys: one to publish, one to read, one for both.
func keyring(t testing.TB) (keys *auth.Keys, publish, read, both string) {
	t.Helper()
	publish, read, both = auth.NewKey(), auth.NewKey(), auth.NewKey()
	file := filepath.Join(t.TempDir(), "keys.yaml")
	lines := auth.KeyLine("p", publish, auth.ScopePublish) + "\n" + auth.KeyLine("r", read, auth.ScopeRead) + "\n" +
		auth.KeyLine("b", both, auth.ScopePublish|auth.ScopeRead) + "\n"
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := auth.NewKeys(auth.KeysConfig{File: file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return keys, "Bearer " + publish, "Bearer " + read, "Bearer " + both
}

// counter is the value of the counter or the count of the histogram of that name with those labels.
func (r *rig) counter(t testing.TB, name string, labels map[string]string) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			same := f.GetName() == name && len(m.GetLabel()) == len(labels)
			for _, l := range m.GetLabel() {
				same = same && labels[l.GetName()] == l.GetValue()
			}
			if same && m.GetHistogram() != nil {
				return float64(m.GetHistogram().GetSampleCount())
			} else if same {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s of %v", name, labels)
	return 0
}
