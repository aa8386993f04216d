package process

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait of these tests. It says nothing about how long things should take.
const patience = 60 * time.Second

// server is a running ramen serve.
type server struct {
	cmd    *exec.Cmd
	at     addresses
	out    *transcript
	stderr *transcript
	all    *transcript   // both
	ended  chan struct{} // closed once the process has
}

func newServer(cmd *exec.Cmd) *server {
	return &server{cmd: cmd, out: newTranscript(), stderr: newTranscript(), all: newTranscript(), ended: make(chan struct{})}
}

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
	s.cmd.Env = append(cleanEnv(), env...)
	s.begin(t)
	return s
}

// begin starts the process, in a group of its own, and sees to its end.
func (s *server) begin(t testing.TB) {
	t.Helper()
	s.cmd.Stdout, s.cmd.Stderr = io.MultiWriter(s.out, s.all), io.MultiWriter(s.stderr, s.all)
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait()
		s.out.end()
		s.stderr.end()
		s.all.end()
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(s.cmd.Args, " "), s.all)
		}
	})
}

// cleanEnv is the environment of the test without what would configure the binary.
func cleanEnv() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RAMEN_") {
			env = append(env, v)
		}
	}
	return env
}

func (s *server) awaitBanner(t testing.TB) {
	t.Helper()
	var found [][]string
	ok := s.out.await(func(text string) bool {
		found = bannerLine.FindAllStringSubmatch(text, -1)
		return len(found) == 4 && strings.Contains(text, "gRPC\n\n")
	})
	if !ok {
		t.Fatalf("%s: there is no banner:\n%s%s", strings.Join(s.cmd.Args, " "), s.out, s.stderr)
	}
	s.at = addresses{found[0][1], found[1][1], found[2][1], found[3][1]}
}

// kill is kill -9, of what it has started, too.
func (s *server) kill() {
	select {
	case <-s.ended:
	default: // not waited for, so the number is still its own
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-s.ended
}

// signal sends sig.
func (s *server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// wait waits for the end and answers the exit status; -1 where a signal ended it.
func (s *server) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-s.ended:
	case <-time.After(patience):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		<-s.ended
		t.Fatalf("%s has not ended:\n%s", strings.Join(s.cmd.Args, " "), s.stderr)
	}
	return s.cmd.ProcessState.ExitCode()
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
	cmd.Env = append(cleanEnv(), env...)
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

// transcript is what a process has written so far.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	over    bool
	changed chan struct{} // closed and replaced with each change
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	w.tellLocked()
	return len(b), nil
}

func (w *transcript) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.tellLocked()
}

func (w *transcript) tellLocked() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// await waits until the text is as is says, or no more comes.
func (w *transcript) await(is func(text string) bool) bool {
	late := time.After(patience)
	for {
		w.mu.Lock()
		text, over, changed := w.text.String(), w.over, w.changed
		w.mu.Unlock()
		if is(text) {
			return true
		}
		if over {
			return false
		}
		select {
		case <-changed:
		case <-late:
			return false
		}
	}
}

// awaitText waits until all of parts were written.
func (w *transcript) awaitText(t testing.TB, parts ...string) {
	t.Helper()
	if !w.await(func(text string) bool {
		for _, p := range parts {
			if !strings.Contains(text, p) {
				return false
			}
		}
		return true
	}) {
		t.Fatalf("%q was not written, but:\n%s", parts, w)
	}
}
