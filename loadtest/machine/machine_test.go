package machine

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBoundProcessHasItsProcessorAlone(t *testing.T) {
	all := Processors()
	if len(all) == 0 {
		t.Skip("processors are not told here")
	}
	var out strings.Builder
	cmd := exec.Command("grep", "Cpus_allowed_list", "/proc/self/status")
	cmd.Stdout = &out
	if err := Start(cmd, all[len(all)-1:]); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, list, _ := strings.Cut(out.String(), "\t"); strings.ContainsAny(strings.TrimSpace(list), ",-") {
		t.Errorf("it may use %s", list)
	}
	if !slices.Equal(Processors(), all) {
		t.Error("this process lost processors")
	}
}

// fakeServer is a program that says this and then sleeps, or ends.
func fakeServer(t *testing.T, script string) string {
	name := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestServerThatDoesNotStartSaysWhy(t *testing.T) {
	dir := t.TempDir()
	_, err := StartServer(t.Context(), ServerConfig{Binary: fakeServer(t, "echo 'the port is taken' >&2; exit 1"), Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "the port is taken") {
		t.Errorf("%v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left in the folder: %v", left)
	}
}

func TestBannerIsRead(t *testing.T) {
	banner := `ramen dev, data in /x

  devices    http://127.0.0.1:8080   SSE, WebSocket, long-poll
             127.0.0.1:8081   gRPC
  backends   http://127.0.0.1:9080   publish, query, health, metrics
             127.0.0.1:9081   gRPC

  curl -N 'http://127.0.0.1:8080/ramen/receive?user=alice&device=phone'
`
	found := make(chan []string, 1)
	readBanner(strings.NewReader(banner), 4, found)
	if got := <-found; !slices.Equal(got, []string{"127.0.0.1:8080", "127.0.0.1:8081", "127.0.0.1:9080", "127.0.0.1:9081"}) {
		t.Errorf("%v", got)
	}
}

// TestServerIsAwaitedUntilItIsReady has one that says where it is before it serves, as it does on a store that another still leases.
func TestServerIsAwaitedUntilItIsReady(t *testing.T) {
	var asked atomic.Int32
	backends := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer backends.Close()
	at := strings.TrimPrefix(backends.URL, "http://")
	script := fmt.Sprintf("echo '  devices    http://%s   x'\necho '             %s   x'\necho '  backends   http://%s   x'\necho '             %s   x'\nexec sleep 60", at, at, at, at)
	s, err := StartServer(t.Context(), ServerConfig{Binary: fakeServer(t, script), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Kill(); err != nil {
		t.Error(err)
	}
	if n := asked.Load(); n != 3 {
		t.Errorf("asked %d times", n)
	}
}
