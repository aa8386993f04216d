package proxied

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ramen "ramen/clients/go"
	"ramen/frontend/auth"
	"ramen/internal/ports"
	"ramen/internal/testprocess"
	"ramen/protocol"
)

const secret = "0123456789abcdef0123456789abcdef"

// server is a ramen serve with authentication, which comes back at the same place.
type server struct {
	*process
	t         testing.TB
	config    string
	key       string // of a backend
	devices   string
	grpc      string
	backends  string
	publisher *ramen.Publisher
}

// consolesOrigin stands for the origin of the server's own console, whose port is drawn.
const consolesOrigin = "console"

// serve starts a server that answers pages of origin, and takes their tokens from a cookie, too.
func serve(t testing.TB, origin string) *server {
	t.Helper()
	dir := t.TempDir()
	s := &server{t: t, config: filepath.Join(dir, "ramen.yaml"), devices: ports.Free(t), grpc: ports.Free(t), backends: ports.Free(t)}
	keys := filepath.Join(dir, "keys.yaml")
	s.key = strings.TrimSpace(ramenCommand(t, "token", "--backend", "tests", "--scopes", "publish,read", "--keys-file", keys))
	origins := ""
	if origin == consolesOrigin {
		origin = "http://" + s.backends
	}
	if origin != "" {
		origins = "  origins: [" + origin + "]\n"
	}
	text := fmt.Sprintf("data: %s\nlisten:\n  devices: %s\n  devices_grpc: %s\n  backends: %s\n  backends_grpc: %s\nauth:\n  tokens:\n    cookie: ramen\n    secret: %s\n  keys:\n    file: %s\nfrontend:\n  drain_time: 1s\n%s",
		filepath.Join(dir, "data"), s.devices, s.grpc, s.backends, ports.Free(t), secret, keys, origins)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	p, err := ramen.NewPublisher(ramen.PublisherConfig{URL: "http://" + s.backends, Key: s.key, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	s.publisher = p
	return s
}

func (s *server) start() {
	s.t.Helper()
	s.process = begin(s.t, nil, binary, "serve", "--config", s.config)
	s.accepts(s.t, s.devices)
	s.accepts(s.t, s.grpc)
	s.accepts(s.t, s.backends)
}

// ramenCommand runs the binary to its end.
func ramenCommand(t testing.TB, args ...string) string {
	t.Helper()
	var errOut bytes.Buffer
	cmd := exec.Command(binary, args...)
	cmd.Env, cmd.Stderr = testprocess.Env(), &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ramen %v: %v\n%s", args, err, &errOut)
	}
	return string(out)
}

// token is any device's of the user.
func token(t testing.TB, user string, ttl time.Duration) string {
	t.Helper()
	return mint(t, auth.Grant{User: protocol.UserID(user), TTL: ttl})
}

// pinned is good for one device alone.
func pinned(t testing.TB, user, device string) string {
	t.Helper()
	return mint(t, auth.Grant{User: protocol.UserID(user), Device: protocol.DeviceID(device), TTL: time.Hour})
}

func mint(t testing.TB, g auth.Grant) string {
	t.Helper()
	key, err := auth.SecretKey([]byte(secret), "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := auth.Mint(key, g)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// publish publishes messages for alice with the ids from m-from to m-to, each tried until it is accepted.
func (s *server) publish(from, to int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for n := from; n <= to; n++ {
		if err := s.publishOne(ctx, n); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *server) publishOne(ctx context.Context, n int) error {
	id := name(n)
	_, err := s.publisher.Publish(ctx, ramen.Publication{User: "alice", ID: id, Type: "n", Payload: ramen.JSON(map[string]string{"id": id})})
	return err
}

func name(n int) string { return fmt.Sprintf("m-%d", n) }

// untilEmpty waits until every device of alice has acked everything.
func (s *server) untilEmpty() {
	s.t.Helper()
	until(s.t, "alice's mailbox is empty", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		waiting, err := s.publisher.Messages(ctx, "alice")
		return err == nil && len(waiting) == 0
	})
}
