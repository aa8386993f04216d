package process

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"ramen/internal/testserver/redistest"
)

// TestShutdownBesideASilentStoreIsNoFailure: a process that has nothing left to save ends with status 0, although it cannot say in the store
// that it has gone. Its log says that.
func TestShutdownBesideASilentStoreIsNoFailure(t *testing.T) {
	r := redistest.Single(t, redistest.Options{})
	s := start(t, append(anyPorts.flags(), "--dev", "--data", t.TempDir(), "--store", r.URL(), "--frontend.drain-time", "500ms")...)
	if got := publish(t, s, `{"user":"alice","id":"waits","payload":1}`); !strings.Contains(got, "accepted") {
		t.Fatal(got)
	}
	r.Pause(t)
	s.Signal(t, syscall.SIGTERM)
	status := s.Wait(t)
	text := s.Out.String() + s.Err.String()
	if status != 0 || !strings.Contains(text, "could not say in the store that it has gone") {
		t.Errorf("exit status %d: %s", status, text)
	}
	r.Continue(t)
	again := start(t, append(anyPorts.flags(), "--dev", "--data", t.TempDir(), "--store", r.URL())...)
	if _, body := again.get(t, "/v1/users/alice/messages"); !strings.Contains(body, `"waits"`) {
		t.Errorf("what was accepted is gone: %s", body)
	}
}

// TestShutdownCutsARequestThatDoesNotEnd in time for the store to be closed in order, and the exit status is 0.
func TestShutdownCutsARequestThatDoesNotEnd(t *testing.T) {
	data := t.TempDir()
	s := start(t, append(anyPorts.flags(), "--dev", "--data", data, "--frontend.drain-time", "500ms", "--shutdown-time", "3s")...)
	conn, err := net.Dial("tcp", s.at.backends)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /v1/publish HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", s.at.backends); err != nil {
		t.Fatal(err)
	}
	if got := publish(t, s, `{"user":"alice","id":"waits","payload":1}`); !strings.Contains(got, "accepted") {
		t.Fatal(got)
	}
	s.Signal(t, syscall.SIGTERM)
	status := s.Wait(t)
	text := s.Out.String() + s.Err.String()
	if status != 0 || !strings.Contains(text, "they were cut") {
		t.Errorf("exit status %d: %s", status, text)
	}
}

// TestStartWithoutItsStoreEndsAndSaysWhy, so that whatever supervises it starts it again; and it does once the store is there.
func TestStartWithoutItsStoreEndsAndSaysWhy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // never accepted: who connects is not answered
	for _, store := range []string{"redis://" + l.Addr().String(), "cassandra://" + l.Addr().String() + "/ramen?dc=datacenter1"} {
		_, said, status := run(t, nil, "", append([]string{"serve", "--dev", "--data", t.TempDir(), "--store", store}, anyPorts.flags()...)...)
		if status != 1 || !strings.Contains(said, "open") {
			t.Errorf("%s: status %d: %s", store, status, said)
		}
	}
	r := redistest.Single(t, redistest.Options{})
	r.Kill(t)
	flags := append(anyPorts.flags(), "--dev", "--data", t.TempDir(), "--store", r.URL())
	if _, said, status := run(t, nil, "", append([]string{"serve"}, flags...)...); status != 1 || !strings.Contains(said, "connection refused") {
		t.Errorf("status %d: %s", status, said)
	}
	r.Launch(t)
	r.AwaitReady(t)
	start(t, flags...)
}
