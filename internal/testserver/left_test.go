package testserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

// leaveVariable makes this test binary a process that starts a server and is killed.
const leaveVariable = "TESTSERVER_LEAVE"

func TestMain(m *testing.M) { goleak.VerifyTestMain(Main(m)) }

func sleeper(t *testing.T) *Server {
	t.Helper()
	s, err := New(Config{
		Name:    "sleep",
		Command: func(string) *exec.Cmd { return exec.Command("sleep", "600") },
		Ready:   func(context.Context) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestLeaving is what TestKilledProcessLeavesNothing kills.
func TestLeaving(t *testing.T) {
	if os.Getenv(leaveVariable) == "" {
		return
	}
	s := sleeper(t)
	s.Start(t)
	fmt.Println("leaving", s.PID(t), s.Dir)
	select {}
}

// TestKilledProcessLeavesNothing: its server ends with it, and its folder goes with the next that is made, which spares those in use.
func TestKilledProcessLeavesNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: only Linux ends a process with its parent")
	}
	used := sleeper(t)
	used.CloseAfter(t)

	cmd := exec.Command(os.Args[0], "-test.run=TestLeaving")
	cmd.Env = append(os.Environ(), leaveVariable+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	for lines := bufio.NewScanner(out); dir == "" && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "leaving %d %s", &pid, &dir)
	}
	err = cmd.Process.Kill()
	_ = cmd.Wait()
	if err != nil || dir == "" {
		t.Fatalf("the process did not say what it leaves: %v", err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	if err := Await(ctx, func() error { return gone(pid) }); err != nil {
		t.Errorf("its server: %v", err)
	}
	next := sleeper(t)
	next.CloseAfter(t)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder: %v", err)
	}
	if _, err := os.Stat(used.Dir); err != nil {
		t.Errorf("a folder in use: %v", err)
	}
}

// gone is nil where no such process runs. One that nobody waits for has a number still.
func gone(pid int) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil || strings.Contains(string(status), "State:\tZ") {
		return nil
	}
	return errors.New("it runs")
}

// TestServerThatEndsIsNotWaitedFor until patience ends.
func TestServerThatEndsIsNotWaitedFor(t *testing.T) {
	never := errors.New("not ready")
	s, err := New(Config{
		Name:    "true",
		Command: func(string) *exec.Cmd { return exec.Command("sh", "-c", "echo why it ends; exit 3") },
		Ready:   func(context.Context) error { return never },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.CloseAfter(t)
	failed := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Start(fatal{t, failed})
	}()
	<-done
	if said := <-failed; !strings.Contains(said, "exit status 3") || !strings.Contains(said, "why it ends") {
		t.Errorf("it was told as %q", said)
	}
}

// TestPauseStopsAllThreads until Continue, and a paused server can be stopped in order.
func TestPauseStopsAllThreads(t *testing.T) {
	s := sleeper(t)
	s.CloseAfter(t)
	s.Start(t)
	s.Pause(t)
	if stopped, err := s.p.stopped(); !stopped || err != nil {
		t.Errorf("paused: %v, %v", stopped, err)
	}
	s.Pause(t) // again
	s.Continue(t)
	s.Pause(t)
	s.Stop(t)
	if s.Running() {
		t.Error("it runs")
	}
	if got := s.p.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(); got != syscall.SIGTERM {
		t.Errorf("it was ended by %v", got)
	}
}

// fatal is a test whose Fatalf ends a goroutine alone.
type fatal struct {
	TB
	said chan string
}

func (f fatal) Fatalf(format string, args ...any) {
	f.said <- fmt.Sprintf(format, args...)
	runtime.Goexit()
}
