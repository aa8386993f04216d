// Share runs a command, usually go test, whose test binaries share one Cassandra node: it starts with the first that asks for it, by
// cassandratest.Shared, and ends with the command.
//
//	go run ./internal/testserver/share go test ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "share: usage: share command argument...")
		os.Exit(2)
	}
	// The command gets the terminal's signals itself, and the others from here; the servers are ended after it in each case.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1], os.Args[2:]...)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "share:", err)
		os.Exit(1)
	}
}

// run serves while the command runs.
func run(ctx context.Context, name string, args ...string) error {
	dir, remove, err := testserver.NewDir("share")
	if err != nil {
		return err
	}
	socket := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		return errors.Join(err, remove())
	}
	served := make(chan error, 1)
	go func() { served <- cassandratest.Serve(program{}, l) }()

	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Env = append(os.Environ(), cassandratest.Environ(socket))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err = cmd.Run()
	return errors.Join(err, l.Close(), <-served, testserver.CloseShared(), remove())
}
