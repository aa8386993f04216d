package proxied

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that runs until it is stopped, in a process group of its own.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu: both outputs
}

// Write takes what the program says.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// begin starts a program; the test's end kills it.
func begin(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), ended: make(chan struct{})}
	p.cmd.Env = append(cleanEnv(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(p.cmd.Args, " "), p.tail())
		}
	})
	return p
}

// cleanEnv is the environment of the test without what would configure the binary.
func cleanEnv() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "RAMEN_") })
}

// tail is the end of what the program said.
func (p *process) tail() string {
	said := p.said()
	return said[max(0, len(said)-4000):]
}

// kill is kill -9, of what the program has started, too.
func (p *process) kill() {
	select {
	case <-p.ended:
	default: // not waited for, so the number is still its own
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
	<-p.ended
}

func (p *process) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// stop ends the program in order.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s has not ended after SIGTERM:\n%s", p.cmd.Path, p.tail())
	}
}

// accepts waits until the program takes connections at addr.
func (p *process) accepts(t testing.TB, addr string) {
	t.Helper()
	until(t, p.cmd.Path+" listens at "+addr, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s has ended:\n%s", p.cmd.Path, p.tail())
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

// needs skips the test where a program is missing.
func needs(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("skipped: %s is not installed (scripts/test.sh installs it on Debian, as root)", name)
	}
	return path
}
