package testprocess

import (
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mostLogged is how much of what a process has written is logged where its test fails, in bytes.
const mostLogged = 64 << 10

// Process is a program that runs until it ends, is stopped, or its test ends.
type Process struct {
	Cmd   *exec.Cmd
	Out   *Transcript   // standard output
	Err   *Transcript   // standard error
	All   *Transcript   // both
	Ended chan struct{} // closed once it has
}

// New is cmd, not started. Its environment is Env, unless cmd has one.
func New(cmd *exec.Cmd) *Process {
	if cmd.Env == nil {
		cmd.Env = Env()
	}
	return &Process{Cmd: cmd, Out: newTranscript(), Err: newTranscript(), All: newTranscript(), Ended: make(chan struct{})}
}

// Start starts the process.
func (p *Process) Start(t testing.TB) {
	t.Helper()
	p.Cmd.Stdout, p.Cmd.Stderr = io.MultiWriter(p.Out, p.All), io.MultiWriter(p.Err, p.All)
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.Cmd.Wait()
		p.Out.end()
		p.Err.end()
		p.All.end()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			said := p.All.String()
			t.Logf("%s\n%s", p, said[max(0, len(said)-mostLogged):])
		}
	})
}

// String is the command line.
func (p *Process) String() string { return strings.Join(p.Cmd.Args, " ") }

// Kill is kill -9, of what the process has started, too. It returns once the process has ended.
func (p *Process) Kill() {
	select {
	case <-p.Ended:
	default: // not waited for, so the number is still its own
		_ = syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.Ended
}

// Signal sends sig to the process alone.
func (p *Process) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// Wait waits for the end and answers the exit status; -1 where a signal ended it.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(Patience):
		_ = p.Cmd.Process.Signal(syscall.SIGQUIT) // shows where it hangs
		select {
		case <-p.Ended:
		case <-time.After(Patience):
		}
		t.Fatalf("%s has not ended:\n%s", p, p.All)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Stop ends the process in order, and answers its exit status.
func (p *Process) Stop(t testing.TB) int {
	t.Helper()
	p.Signal(t, syscall.SIGTERM)
	return p.Wait(t)
}
