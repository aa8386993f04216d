package cassandratest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
)

//go:embed conf/jvm.options
var jvmOptions []byte

//go:embed conf/logback.xml
var logback []byte

// Node is one Cassandra. What is done to it is of testserver.Server.
type Node struct {
	*testserver.Server
	Host  string            // its address, for other nodes and, where there is no proxy, for clients
	Proxy *faultproxy.Proxy // nil: there is none
}

// newNode is a node that is not started.
func newNode(in install, host string, settings map[string]any, at *testserver.Place) (*Node, error) {
	n := &Node{Host: host}
	inner, err := testserver.New(testserver.Config{Name: "cassandra", Command: in.command, Ready: n.ready, Place: at})
	if err != nil {
		return nil, err
	}
	n.Server = inner
	if err := n.configure(settings); err != nil {
		return nil, fmt.Errorf("cassandratest: configure a node: %w", errors.Join(err, n.Close()))
	}
	return n, nil
}

func (n *Node) configure(settings map[string]any) error {
	text, err := configText(n.Dir, n.Host, settings)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(n.Dir, "cassandra.yaml"), text, 0o600),
		os.WriteFile(filepath.Join(n.Dir, "logback.xml"), logback, 0o600),
		os.WriteFile(filepath.Join(n.Dir, "jvm.options"), jvmOptions, 0o600))
}

// command is one run of the node that is configured in dir.
func (in install) command(dir string) *exec.Cmd {
	args := append([]string{"@" + filepath.Join(dir, "jvm.options")}, in.properties...)
	cmd := exec.Command(in.java, append(args,
		"-Dcassandra.config=file://"+filepath.Join(dir, "cassandra.yaml"),
		"-Dlogback.configurationFile="+filepath.Join(dir, "logback.xml"),
		"-Dcassandra.storagedir="+filepath.Join(dir, "data"),
		"-Djava.io.tmpdir="+dir,
		"-cp", filepath.Join(in.jars, "*"), "org.apache.cassandra.service.CassandraDaemon")...)
	cmd.Dir = dir
	return cmd
}

// ready reports why the node does not answer clients.
func (n *Node) ready(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(n.Host, strconv.Itoa(nativePort)))
	if err != nil {
		return err
	}
	conn.Close()
	s, err := session("", n.Host)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Query("SELECT key FROM system.local").ExecContext(ctx)
}
