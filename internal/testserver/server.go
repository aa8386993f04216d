package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// Patience bounds every wait for a server. It says nothing about how long things should take.
	Patience = 2 * time.Minute
	// pollEvery is the time between two looks at whether a server has come to the state that is waited for.
	pollEvery = 10 * time.Millisecond
	// mostLogged is how much of what a server has written is logged where its test fails, in bytes.
	mostLogged = 16 << 10
)

// Config says what a server is.
type Config struct {
	Name    string                          // for messages and as part of the folder's name: redis-server
	Command func(dir string) *exec.Cmd      // one run; called for each start
	Ready   func(ctx context.Context) error // reports why the server does not serve yet; polled after a start
	Place   *Place                          // where it runs; nil: here
}

// Place is where a server runs.
type Place struct {
	Host string // the address that it listens at and is reached at
	// Enter puts the thread that starts the server, and is used for nothing else, where Host is: into a network namespace. nil: it is here.
	Enter func() error
}

// HostOr is the place's address, or another one where there is no place.
func (p *Place) HostOr(other string) string {
	if p == nil {
		return other
	}
	return p.Host
}

// Server is a server that can come back at the same place, with the same folder. Its methods can be called at once; those that take a
// TB fail the test where they cannot do what they say.
type Server struct {
	Dir string

	config Config
	remove func() error // the folder

	mu sync.Mutex // guards p, and orders starts and ends
	p  *process   // nil: never started
}

// New is a server that has not been started. Close has to be called.
func New(config Config) (*Server, error) {
	dir, remove, err := NewDir(config.Name)
	if err != nil {
		return nil, err
	}
	return &Server{Dir: dir, config: config, remove: remove}, nil
}

// CloseAfter closes the server at the end of a test, and logs the end of what it wrote where the test failed.
func (s *Server) CloseAfter(t TB) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s in %s wrote:\n%s", s.config.Name, s.Dir, s.LogTail())
		}
		if err := s.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// Close kills the server and removes its folder.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p != nil {
		s.p.kill()
	}
	return s.remove()
}

// Start starts the server and waits until it serves.
func (s *Server) Start(t TB) {
	t.Helper()
	s.Launch(t)
	s.AwaitReady(t)
}

// Launch starts the server, and does not wait for it.
func (s *Server) Launch(t TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.p != nil && s.p.running() {
		t.Fatalf("testserver: start %s: it runs", s.config.Name)
	}
	p, err := start(s.config.Command(s.Dir), s.logFile(), s.config.Place)
	if err != nil {
		t.Fatalf("testserver: start %s: %v", s.config.Name, err)
	}
	s.p = p
}

// AwaitReady waits until the server serves.
func (s *Server) AwaitReady(t TB) {
	t.Helper()
	p := s.process(t)
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	if err := Await(ctx, func() error {
		if !p.running() {
			return &finalError{fmt.Errorf("it has ended: %v", p.cmd.ProcessState)}
		}
		return s.config.Ready(ctx)
	}); err != nil {
		t.Fatalf("testserver: %s does not serve: %v; it wrote:\n%s", s.config.Name, err, s.LogTail())
	}
}

// Stop ends the server in order (SIGTERM), also where it is paused, and waits for its end.
func (s *Server) Stop(t TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.processLocked(t)
	if err := errors.Join(p.signal(syscall.SIGTERM), p.signal(syscall.SIGCONT)); err != nil && p.running() {
		t.Fatalf("testserver: stop %s: %v", s.config.Name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(Patience):
		t.Fatalf("testserver: stop %s: it has not ended; it wrote:\n%s", s.config.Name, s.LogTail())
	}
}

// Kill is kill -9. It returns once the server has ended.
func (s *Server) Kill(t TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processLocked(t).kill()
}

// Pause is SIGSTOP. It returns once no thread of the server runs: its connections stay open, and the system still accepts new ones.
func (s *Server) Pause(t TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.processLocked(t)
	err := p.signal(syscall.SIGSTOP)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), Patience)
		defer cancel()
		err = Await(ctx, func() error {
			stopped, err := p.stopped()
			if err == nil && !stopped {
				err = errors.New("a thread runs")
			}
			return err
		})
	}
	if err != nil {
		t.Fatalf("testserver: pause %s: %v", s.config.Name, err)
	}
}

// Continue is SIGCONT, after Pause.
func (s *Server) Continue(t TB) {
	t.Helper()
	if err := s.process(t).signal(syscall.SIGCONT); err != nil {
		t.Fatalf("testserver: continue %s: %v", s.config.Name, err)
	}
}

// Restart stops the server if it runs, starts it on what it has on disk, and waits until it serves.
func (s *Server) Restart(t TB) {
	t.Helper()
	if s.Running() {
		s.Stop(t)
	}
	s.Start(t)
}

// Running reports whether there is a process, be it paused.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p != nil && s.p.running()
}

// Failed reports whether the server has ended otherwise than with status 0.
func (s *Server) Failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.p != nil && !s.p.running() && !s.p.cmd.ProcessState.Success()
}

// PID is the number of the process, or of the last one.
func (s *Server) PID(t TB) int {
	t.Helper()
	return s.process(t).cmd.Process.Pid
}

// LogTail is the end of what the server has written, over all its starts.
func (s *Server) LogTail() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-mostLogged):])
}

func (s *Server) logFile() string { return filepath.Join(s.Dir, "log") }

func (s *Server) process(t TB) *process {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.processLocked(t)
}

func (s *Server) processLocked(t TB) *process {
	t.Helper()
	if s.p == nil {
		t.Fatalf("testserver: %s was never started", s.config.Name)
	}
	return s.p
}
