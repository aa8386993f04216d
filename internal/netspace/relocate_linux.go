package netspace

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideVariable marks a process that Relocated has started.
const insideVariable = "RAMEN_NETSPACE"

// Inside reports whether this process was started by Relocated.
func Inside() bool { return os.Getenv(insideVariable) != "" }

// Relocated runs this program once more with its arguments, in a network namespace in which nothing is but loopback, and answers its exit
// status once it has ended. more is added to its environment. ErrNoSpaces: it cannot be, and nothing was run.
func Relocated(more ...string) (status int, err error) {
	if err := Possible(); err != nil {
		return 0, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(append(os.Environ(), insideVariable+"=1"), more...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM}
	// What a terminal sends comes to both; what is sent to this one alone is passed on.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	runtime.LockOSThread() // Pdeathsig comes with the end of the thread
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoSpaces, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			if s == syscall.SIGTERM {
				_ = cmd.Process.Signal(s)
			}
		case err := <-ended:
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				return 0, fmt.Errorf("netspace: wait for the program: %w", err)
			}
			if status := cmd.ProcessState.ExitCode(); status >= 0 {
				return status, nil
			}
			return 1, nil // ended by a signal
		}
	}
}

// Setup makes loopback of a namespace that Relocated has made be usable. The program in it calls it first.
func Setup() error { return ip("link set lo up") }

// Possible is nil where networks can be made: as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN, where there is ip(8).
func Possible() error {
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpaces, err)
	}
	s, err := New(func() error {
		return ip("link set lo up", "rule add pref 100 to 198.19.1.0/24 blackhole", "link add host1 type veth peer name host2")
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNoSpaces, err)
	}
	return s.Close()
}
