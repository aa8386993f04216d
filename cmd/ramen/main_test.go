package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/app"
	"ramen/internal/testapp"
	"ramen/internal/testserver"
)

// asMain makes this test binary the program itself, for tests whose command starts processes of its own.
const asMain = "TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) != "" {
		main()
	}
	goleak.VerifyTestMain(testserver.Main(m))
}

// patience bounds every wait of these tests.
const patience = 30 * time.Second

// serving starts the product on a store in memory, without authentication, until the test ends.
func serving(t *testing.T) app.Addresses {
	t.Helper()
	at := testapp.Serve(t, testapp.Config(t))
	t.Setenv("RAMEN_BACKENDS_URL", "http://"+at.Backends)
	t.Setenv("RAMEN_DEVICES_URL", "http://"+at.Devices)
	t.Setenv("RAMEN_DEVICES_GRPC", at.DevicesGRPC)
	return at
}

// command runs one command with stdin.
func command(t *testing.T, stdin string, args ...string) (out, errOut string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var o, e bytes.Buffer
	status = execute(ctx, args, strings.NewReader(stdin), &o, &e)
	return o.String(), e.String(), status
}

// good runs a command that must succeed, and answers its standard output.
func good(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	out, errOut, status := command(t, stdin, args...)
	if status != 0 {
		t.Fatalf("ramen %s: exit status %d: %s\n%s", strings.Join(args, " "), status, errOut, out)
	}
	return out
}

// bad runs a command that must fail, and say each of these.
func bad(t *testing.T, stdin string, args []string, says ...string) {
	t.Helper()
	_, errOut, status := command(t, stdin, args...)
	if status != statusFailed {
		t.Errorf("ramen %s: exit status %d", strings.Join(args, " "), status)
	}
	for _, want := range says {
		if !strings.Contains(errOut, want) {
			t.Errorf("ramen %s does not say %q, but:\n%s", strings.Join(args, " "), want, errOut)
		}
	}
}

func TestUnknownWordsNameTheNearest(t *testing.T) {
	bad(t, "", []string{"publsh"}, "publsh", "publish")
	bad(t, "", []string{"publish", "--usr", "alice"}, "--usr", "the nearest is --user", "ramen publish --help")
	bad(t, "", []string{"listen", "--cursor-fle", "x"}, "the nearest is --cursor-file")
}

func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"version"}, {"--version"}} {
		if out := good(t, "", args...); !strings.HasPrefix(out, "ramen dev (go") {
			t.Errorf("%v: %q", args, out)
		}
	}
}

func TestInterruptedIs130(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	in, hold := io.Pipe()
	var e bytes.Buffer
	done := make(chan int)
	go func() {
		done <- execute(ctx, []string{"publish", "--file", "-", "--user", "alice", "--url", "http://127.0.0.1:1"}, in, io.Discard, &e)
	}()
	if _, err := hold.Write([]byte("{")); err != nil { // it reads
		t.Fatal(err)
	}
	cancel()
	if status := <-done; status != statusInterrupted || !strings.Contains(e.String(), "interrupted") {
		t.Errorf("exit status %d: %s", status, &e)
	}
	hold.Close()
}

// TestServeRunsUntilItsContextEnds is the whole of serve, in this process.
func TestServeRunsUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, w := io.Pipe()
	done := make(chan int)
	go func() {
		status := execute(ctx, []string{"serve", "--dev", "--store", "memory:", "--listen.devices", "0.0.0.0:0", "--listen.devices-grpc", ":0",
			"--listen.backends", ":0", "--listen.backends-grpc", ":0", "--frontend.drain-time", "1ms"}, nil, w, io.Discard)
		w.Close()
		done <- status
	}()
	var banner bytes.Buffer
	buf := make([]byte, 4096)
	for !strings.Contains(banner.String(), "/v1/publish") {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatalf("%v, behind %s", err, &banner)
		}
		banner.Write(buf[:n])
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for _, want := range []string{"authentication is OFF", "reached from other machines", "curl -N 'http://127.0.0.1:"} {
		if !strings.Contains(banner.String(), want) {
			t.Errorf("the banner does not say %q:\n%s", want, &banner)
		}
	}
	cancel()
	if status := <-done; status != 0 {
		t.Errorf("exit status %d", status)
	}
}
