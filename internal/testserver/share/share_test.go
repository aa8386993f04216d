package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ramen/internal/testserver/cassandratest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reportVariable names the file to which TestAsking writes. Where it is empty, that test is no part of TestCommandsShareOneNode.
const reportVariable = "SHARE_TEST_REPORT"

// TestAsking is the command of TestCommandsShareOneNode.
func TestAsking(t *testing.T) {
	file := os.Getenv(reportVariable)
	if file == "" {
		return
	}
	c := cassandratest.Shared(t)
	if err := c.Session(t, c.Keyspace(t)).Query("CREATE TABLE t (k int PRIMARY KEY)").Exec(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Join(c.Hosts, ",")), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestCommandsShareOneNode, which ends with the command, and the command's status is that of run.
func TestCommandsShareOneNode(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: a node of its own is too much for -short")
	}
	cassandratest.Needed(t)
	t.Setenv(strings.TrimSuffix(cassandratest.Environ(""), "="), "") // make test runs this below such a command, too
	t.Setenv("CASSANDRA_HOSTS", "")
	dir := t.TempDir()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ask := reportVariable + "=" + dir + "/$i " + me + " -test.run=TestAsking >&2 || exit 9"
	var exit *exec.ExitError
	if err := run(t.Context(), "sh", "-c", "for i in first second; do "+ask+"; done; exit 7"); !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("run: %v", err)
	}
	first, err := os.ReadFile(dir + "/first")
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(dir + "/second")
	if err != nil || string(first) != string(second) {
		t.Errorf("the commands were told %s and %s, %v", first, second, err)
	}
	if conn, err := net.Dial("tcp", string(first)+":9042"); err == nil {
		conn.Close()
		t.Error("the node runs after the command")
	}
}
