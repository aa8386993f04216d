package proxied

import (
	"net"
	"os/exec"
	"testing"

	"ramen/internal/testprocess"
)

// process is a program that runs until it is stopped.
type process struct{ *testprocess.Process }

// begin starts a program; the test's end kills it.
func begin(t testing.TB, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{testprocess.New(exec.Command(name, args...))}
	p.Cmd.Env = append(p.Cmd.Env, env...)
	p.Start(t)
	return p
}

// tail is the end of what the program said.
func (p *process) tail() string {
	said := p.All.String()
	return said[max(0, len(said)-4000):]
}

// accepts waits until the program takes connections at addr.
func (p *process) accepts(t testing.TB, addr string) {
	t.Helper()
	until(t, p.Cmd.Path+" listens at "+addr, func() bool {
		select {
		case <-p.Ended:
			t.Fatalf("%s has ended:\n%s", p.Cmd.Path, p.tail())
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
