package process

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"ramen/internal/testprocess"
)

const patience = testprocess.Patience

// server is a running ramen serve, or another program that may start one.
type server struct {
	*testprocess.Process
	at addresses
}

func newServer(cmd *exec.Cmd) *server { return &server{Process: testprocess.New(cmd)} }

// addresses is where its ports are.
type addresses struct{ devices, devicesGRPC, backends, backendsGRPC string }

// flags ask for these very ports.
func (a addresses) flags() []string {
	return []string{"--listen.devices", a.devices, "--listen.devices-grpc", a.devicesGRPC,
		"--listen.backends", a.backends, "--listen.backends-grpc", a.backendsGRPC}
}

// anyPorts lets the system choose.
var anyPorts = addresses{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}

// bannerLine is a line of the banner with an address in it.
var bannerLine = regexp.MustCompile(`(?m)^  (?:devices|backends|       ) +(?:https?://)?(\S+:\d+)  `)

// start runs ramen serve with args and waits until its banner says where it listens. It is killed when the test ends.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	s := launch(t, nil, append([]string{"serve"}, args...)...)
	s.awaitBanner(t)
	return s
}

// launch runs the binary with args, and env beside the test's own environment without RAMEN_ variables.
func launch(t testing.TB, env []string, args ...string) *server {
	t.Helper()
	s := newServer(exec.Command(binary, args...))
	s.Cmd.Env = append(s.Cmd.Env, env...)
	s.Start(t)
	return s
}

func (s *server) awaitBanner(t testing.TB) {
	t.Helper()
	var found [][]string
	ok := s.Out.Await(func(text string) bool {
		found = bannerLine.FindAllStringSubmatch(text, -1)
		return len(found) == 4 && strings.Contains(text, "gRPC\n\n")
	})
	if !ok {
		t.Fatalf("%s: there is no banner:\n%s%s", s, s.Out, s.Err)
	}
	s.at = addresses{found[0][1], found[1][1], found[2][1], found[3][1]}
}

// get asks the backends' port.
func (s *server) get(t testing.TB, path string) (int, string) { return s.fetch(t, s.at.backends, path) }

// getDevices is get of the devices' port.
func (s *server) getDevices(t testing.TB, path string) (int, string) {
	return s.fetch(t, s.at.devices, path)
}

func (s *server) fetch(t testing.TB, at, path string) (int, string) {
	t.Helper()
	resp, err := client.Get("http://" + at + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// client keeps no connection, and so no goroutine, when a test ends.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// run runs the binary to its end.
func run(t testing.TB, env []string, stdin string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(testprocess.Env(), env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	cmd.WaitDelay = time.Second
	cut := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer cut.Stop()
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}
