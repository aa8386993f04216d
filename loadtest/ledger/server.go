package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ramen/internal/ports"
	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/machine"
)

// startTime bounds how long a start may take, on a slow machine and with the race detector.
const startTime = 60 * time.Second

// addresses are a server's ports, the same in all its lives.
type addresses struct{ devices, devicesGRPC, backends, backendsGRPC string }

// server is a server that is killed and started again on the same data and ports.
type server struct {
	// immutable
	binary, dir string
	at          addresses
	release     []func() error // the addresses, at the end
	clock       clock
	probe       *http.Client

	// owned by the goroutine that starts and kills
	cmd     *exec.Cmd
	log     *os.File
	kills   []judge.Moment
	faults  []string
	slowest time.Duration // of the starts
	gone    chan struct{} // closed when the process has ended

	mu sync.Mutex
	up chan struct{} // guarded by mu: closed while it serves
}

// clock gives the moments of a run.
type clock struct{ began time.Time }

func (c clock) now() judge.Moment { return time.Since(c.began) }

// slack is how far the wall clock has moved against the monotonic one since the run began.
func (c clock) slack() time.Duration {
	wall := time.Now().Round(0).Sub(c.began.Round(0))
	return (wall - time.Since(c.began)).Abs()
}

func newServer(c config, dir string) (s *server, err error) {
	s = &server{binary: c.Binary, dir: dir, clock: clock{time.Now()}, up: make(chan struct{}), probe: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	for _, at := range []*string{&s.at.devices, &s.at.devicesGRPC, &s.at.backends, &s.at.backendsGRPC} {
		var release func() error
		if *at, release, err = ports.Reserve(); err != nil {
			return nil, err
		}
		s.release = append(s.release, release)
	}
	if s.log, err = os.Create(filepath.Join(dir, "server.log")); err != nil {
		return nil, fmt.Errorf("ledger: make the server's log: %w", err)
	}
	return s, nil
}

// start starts a process and waits until it takes publishes.
func (s *server) start(ctx context.Context) error {
	began := time.Now()
	if err := s.launch(); err != nil {
		return err
	}
	for {
		if s.ready(ctx) {
			break
		}
		select {
		case <-s.gone:
			return fmt.Errorf("ledger: the server does not start: %v: %s", s.cmd.ProcessState, s.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(began) > startTime {
			return fmt.Errorf("ledger: the server is not ready after %v: %s", startTime, s.lastWords())
		}
	}
	s.slowest = max(s.slowest, time.Since(began))
	s.mu.Lock()
	close(s.up)
	s.mu.Unlock()
	return nil
}

// launch starts a process.
func (s *server) launch() error {
	// Mailboxes leave memory and segments are written to tables within a run, and not only after minutes.
	s.cmd = exec.Command(s.binary, "serve", "--dev", "--data", filepath.Join(s.dir, "data"), "--log.level", "warn",
		"--listen.devices", s.at.devices, "--listen.devices-grpc", s.at.devicesGRPC,
		"--listen.backends", s.at.backends, "--listen.backends-grpc", s.at.backendsGRPC,
		"--gateway.mailbox-idle", "4s", "--store.pebble.checkpoint-every", "3s")
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RAMEN_") {
			s.cmd.Env = append(s.cmd.Env, v)
		}
	}
	s.cmd.Stderr = s.log
	s.cmd.SysProcAttr = machine.OwnGroup()
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("ledger: start the server: %w", err)
	}
	gone, cmd := make(chan struct{}), s.cmd
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	s.gone = gone
	return nil
}

func (s *server) ready(ctx context.Context) bool {
	status, _, err := s.ask(ctx, "/readyz")
	return err == nil && status == http.StatusOK
}

// ask makes a request of the backends' port.
func (s *server) ask(ctx context.Context, path string) (status int, body string, _ error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.at.backends+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := s.probe.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// check has the server recount its gauges, which are exact once it has seen the ends of all streams.
func (s *server) check(ctx context.Context) {
	var said string
	for end := time.Now().Add(startTime); ctx.Err() == nil && time.Now().Before(end); sleep(ctx, 50*time.Millisecond) {
		status, body, err := s.ask(ctx, "/debug/check")
		if err == nil && status == http.StatusOK {
			return
		}
		said = fmt.Sprint(body, err)
	}
	s.faults = append(s.faults, "the gauges do not add up: "+said)
}

// stop ends the server in order.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.gone:
		if !s.cmd.ProcessState.Success() {
			s.faults = append(s.faults, fmt.Sprintf("after SIGTERM the server ended with %v: %s", s.cmd.ProcessState, s.lastWords()))
		}
	case <-time.After(startTime):
		s.faults = append(s.faults, "the server did not end after SIGTERM: "+s.lastWords())
	}
}

// kill is kill -9. A server that has ended by itself before is a fault.
func (s *server) kill() {
	s.mu.Lock()
	select {
	case <-s.up:
		s.up = make(chan struct{})
	default: // it was not ready yet
	}
	s.mu.Unlock()
	select {
	case <-s.gone:
		s.faults = append(s.faults, fmt.Sprintf("the server ended by itself before kill %d: %v: %s", len(s.kills)+1, s.cmd.ProcessState, s.lastWords()))
	default:
	}
	s.kills = append(s.kills, s.clock.now())
	_ = s.cmd.Process.Kill()
	<-s.gone
}

// killInStart kills a server that is starting.
func (s *server) killInStart(rng *rand.Rand) error {
	if err := s.launch(); err != nil {
		return err
	}
	<-time.After(time.Duration(rng.Int64N(int64(150 * time.Millisecond))))
	s.kill()
	return nil
}

// end kills the server for good, and looks for what the race detector has said.
func (s *server) end() {
	for _, release := range s.release {
		_ = release()
	}
	s.release = nil
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.gone
	s.cmd = nil
	if text, err := os.ReadFile(s.log.Name()); err == nil && strings.Contains(string(text), "DATA RACE") {
		s.faults = append(s.faults, "the race detector has found something: see "+s.log.Name())
	}
	_ = s.log.Close()
}

// awaitUp waits until the server is there, and reports whether it is.
func (s *server) awaitUp(ctx context.Context) bool {
	s.mu.Lock()
	up := s.up
	s.mu.Unlock()
	select {
	case <-up:
		return true
	case <-ctx.Done():
		return false
	}
}

// lastWords is the end of the server's log.
func (s *server) lastWords() string {
	text, err := os.ReadFile(s.log.Name())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-1500):]))
}
