package localcluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"ramen/internal/testserver"
)

// Member is one process of a cluster. Start, Launch, AwaitReady, Stop, which drains it, Kill, Pause and Continue are of testserver.Server.
type Member struct {
	*testserver.Server
	Name string
	Role Role
	At   Addresses

	args  []string
	place *testserver.Place // nil: here
}

// Addresses are a member's ports, as host:port. Empty: it has none of that kind.
type Addresses struct {
	Backends                           string // of every member: health, metrics, what operators ask
	Devices, DevicesGRPC, BackendsGRPC string // of a frontend
	Links                              string // of a gateway
	Client, Peer                       string // of a controller's etcd
}

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// command is one run of the member.
func (m *Member) command(binary, dir string) *exec.Cmd {
	args := append([]string{"serve", "--dev", "--role", string(m.Role), "--cluster.name", m.Name, "--listen.backends", m.At.Backends, "--data", filepath.Join(dir, "data")}, m.args...)
	if m.Role == Controller {
		args = append(args, "--cluster.controller.data", filepath.Join(dir, "etcd"))
	}
	cmd := exec.Command(binary, args...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RAMEN_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	return cmd
}

// Get asks the member's port for backends and operators.
func (m *Member) Get(ctx context.Context, path string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.At.Backends+path, nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// Ready reports why the member does not do what its role is.
func (m *Member) Ready(ctx context.Context) error {
	status, body, err := m.Get(ctx, "/readyz")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("localcluster: /readyz of %s is %d: %s", m.Name, status, strings.TrimSpace(body))
	}
	return err
}

// ErrNoMetric is the answer where a member tells no such metric.
var ErrNoMetric = errors.New("localcluster: there is no such metric")

// Metric is the value of a metric, with its labels as it stands in the member's /metrics.
func (m *Member) Metric(ctx context.Context, name string) (value float64, err error) {
	_, body, err := m.Get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(body, "\n") {
		if rest, is := strings.CutPrefix(line, name+" "); is {
			_, err := fmt.Sscan(rest, &value)
			return value, err
		}
	}
	return 0, fmt.Errorf("%w: %s of %s", ErrNoMetric, name, m.Name)
}

// Log is the file that the member writes to.
func (m *Member) Log() string { return filepath.Join(m.Dir, "log") }

// WipeEtcd removes what the etcd of a controller that does not run has kept.
func (m *Member) WipeEtcd(t testserver.TB) {
	t.Helper()
	if m.Running() {
		t.Fatalf("localcluster: wipe the etcd of %s: it runs", m.Name)
	}
	if err := os.RemoveAll(filepath.Join(m.Dir, "etcd")); err != nil {
		t.Fatalf("localcluster: wipe the etcd of %s: %v", m.Name, err)
	}
}

// HasWritten reports whether a text is in what the member has written.
func (m *Member) HasWritten(text string) bool {
	all, err := os.ReadFile(m.Log())
	return err == nil && strings.Contains(string(all), text)
}
