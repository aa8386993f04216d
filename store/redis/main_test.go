package redis

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"ramen/internal/ports"
	"ramen/store"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// server is one redis-server.
type server struct {
	t    testing.TB
	addr string
	dir  string
	args []string
	cmd  *exec.Cmd
}

// startServer starts a server with settings of its configuration, each as on its command line.
func startServer(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("redis-server is not installed")
	}
	r := &server{t: t, addr: ports.Free(t), dir: t.TempDir(), args: args}
	r.start()
	t.Cleanup(r.kill)
	return r
}

func (r *server) start() {
	r.t.Helper()
	_, port, _ := net.SplitHostPort(r.addr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--dir", r.dir, "--save", "", "--logfile", filepath.Join(r.dir, "log")}, r.args...)
	r.cmd = exec.Command("redis-server", args...)
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	c := r.client()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c.Ping(context.Background()).Err() == nil {
			return
		}
		if time.Now().After(end) {
			log, _ := os.ReadFile(filepath.Join(r.dir, "log"))
			r.t.Fatalf("redis-server did not start: %s", log)
		}
	}
}

func (r *server) kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// client is a client for the test itself.
func (r *server) client() *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: r.addr, DisableIdentity: true, MaxRetries: -1})
	r.t.Cleanup(func() { _ = c.Close() })
	return c
}

var places atomic.Int64

// config is for a store of its own on r.
func (r *server) config() Config {
	return Config{
		Mode: Single, Addrs: []string{r.addr}, Shards: 1024, IDRetention: time.Minute,
		Prefix: fmt.Sprint(strings.ToLower(strings.NewReplacer("/", "-", "=", "-").Replace(r.t.Name())), "-", places.Add(1)),
	}
}

func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := Open(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func opener(t testing.TB, r *server) func() store.Store {
	cfg := r.config()
	return func() store.Store { return open(t, cfg) }
}
