package redistest

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m), faultproxy.Leaks()...) }

// TestServerComesBackAtTheSamePlace with what was on its disk, after each way to end.
func TestServerComesBackAtTheSamePlace(t *testing.T) {
	for _, kind := range Kinds {
		t.Run(string(kind), func(t *testing.T) {
			s := Single(t, Options{Kind: kind, Config: Config{"appendonly": "yes", "appendfsync": "always"}})
			c := s.Client(t)
			for i, end := range []func(testserver.TB){s.Stop, s.Kill, func(t testserver.TB) { s.Pause(t); s.Stop(t) }, func(t testserver.TB) { s.Pause(t); s.Kill(t) }} {
				if n, err := c.Incr(t.Context(), "starts").Result(); err != nil || n != int64(i+1) {
					t.Fatalf("start %d: counted %d, %v", i+1, n, err)
				}
				end(t)
				if s.Running() {
					t.Fatal("it runs")
				}
				s.Restart(t)
			}
		})
	}
}

// TestPausedServerAnswersLater what it was asked meanwhile.
func TestPausedServerAnswersLater(t *testing.T) {
	s := Single(t, Options{})
	c := s.Client(t)
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	var late net.Error
	if err := c.Set(ctx, "asked", "while paused", 0).Err(); !errors.As(err, &late) || !late.Timeout() {
		t.Fatalf("a paused server answered: %v", err)
	}
	s.Continue(t)
	if got, err := c.Get(t.Context(), "asked").Result(); err != nil || got != "while paused" {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestServerLeavesNothingBehind once its test has ended.
func TestServerLeavesNothingBehind(t *testing.T) {
	var s *Server
	t.Run("test", func(t *testing.T) { s = Single(t, Options{}); s.Pause(t) })
	if s.Server == nil || s.Running() {
		t.Error("it runs")
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
}

// TestOptionsAreTheServers asks servers for what was set, as a client who may and as one who may not.
func TestOptionsAreTheServers(t *testing.T) {
	for _, kind := range Kinds {
		for name, o := range map[string]Options{
			"plain":    {},
			"password": {Password: "secret"},
			"user":     {User: "ramen", Password: "secret"},
			"TLS":      {User: "ramen", Password: "secret", TLS: true},
		} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				o.Kind = kind
				o.Config = Config{"maxmemory": "100mb", "maxmemory-policy": "volatile-lru"}
				s := Single(t, o)
				got, err := s.Client(t).ConfigGet(t.Context(), "maxmemory*").Result()
				if err != nil || got["maxmemory-policy"] != "volatile-lru" || got["maxmemory"] != "104857600" {
					t.Errorf("got %v, %v", got, err)
				}
				stranger := s.ClientOptions()
				stranger.Username, stranger.Password, stranger.TLSConfig = "", "", nil
				if err := ping(t, stranger); (err == nil) != (name == "plain") {
					t.Errorf("who has no password was answered %v", err)
				}
			})
		}
	}
}

func ping(t *testing.T, o *redis.Options) error {
	c := redis.NewClient(o)
	defer c.Close()
	return c.Ping(t.Context()).Err()
}
