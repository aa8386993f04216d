package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
)

// process is one run of a server.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed once it has
}

// start runs a command in a group of its own, at a place, and adds what it writes to the file log.
func start(cmd *exec.Cmd, log string, at *Place) (*process, error) {
	out, err := os.OpenFile(log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close() // the process has its own
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(cmd.SysProcAttr)

	p := &process{cmd: cmd, ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The signal of endWithParent comes with the end of the thread that started the process: so that thread stays.
		runtime.LockOSThread()
		var err error
		moved := at != nil && at.Enter != nil // for good: the thread ends with this goroutine
		if moved {
			err = at.Enter()
		}
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait()
		close(p.ended)
		if !moved {
			runtime.UnlockOSThread()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal is for the process alone. It is an error where that has ended.
func (p *process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("%v: %w: it was %v", sig, err, p.cmd.ProcessState)
	}
	return nil
}

// kill ends the process and what it has started. It returns once the process has ended.
func (p *process) kill() {
	if p.running() { // not waited for, so the number is still its own
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.ended
}

// stopped reports whether no thread of the process runs after a SIGSTOP.
func (p *process) stopped() (bool, error) {
	if runtime.GOOS != "linux" {
		return true, nil // not to be known
	}
	tasks := fmt.Sprintf("/proc/%d/task", p.cmd.Process.Pid)
	threads, err := os.ReadDir(tasks)
	if err != nil {
		return false, err
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(tasks + "/" + thread.Name() + "/stat")
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return false, err
		}
		// proc_pid_stat(5): the state follows the name, which is in parentheses and can hold others.
		state := strings.TrimLeft(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		if !strings.HasPrefix(state, "T") {
			return false, nil
		}
	}
	return true, nil
}
