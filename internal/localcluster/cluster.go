package localcluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ramen/internal/ports"
	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
)

// shards is how many there are by default.
const shards = 1024

// Cluster is a cluster that runs. Its methods can be called at once.
type Cluster struct {
	cfg   Config
	Redis *redistest.Server // its own; nil: Config named a store
	Store string            // the URL

	mu      sync.Mutex
	binary  string       // guarded by mu: that members run when they start
	members []*Member    // guarded by mu
	made    map[Role]int // guarded by mu: how many there were of each role
	etcd    string       // the addresses of all controllers' etcd
	peers   string       // all controllers by name
}

// Start starts a cluster, and waits until all of it is ready. It ends with t.
func Start(t testserver.TB, cfg Config) *Cluster {
	t.Helper()
	c := &Cluster{cfg: cfg, Store: cfg.Store, binary: cfg.Binary, made: make(map[Role]int)}
	if c.Store == "" {
		c.Redis, c.Store = Redis(t, nil)
	}
	controllers := make([]*Member, cfg.Controllers)
	var etcd, peers []string
	for i := range controllers {
		m := c.member(t, Controller)
		m.At.Client, m.At.Peer = m.free(t), m.free(t)
		etcd, peers = append(etcd, m.At.Client), append(peers, m.Name+"="+m.At.Peer)
		controllers[i] = m
	}
	c.etcd, c.peers = strings.Join(etcd, ","), strings.Join(peers, ",")
	for _, m := range controllers {
		c.prepare(t, m)
		m.Launch(t) // ready with a majority alone
	}
	for range cfg.Gateways {
		c.Add(t, Gateway).Launch(t)
	}
	for range cfg.Frontends {
		c.Add(t, Frontend).Launch(t)
	}
	for _, m := range c.Members("") {
		m.awaitFirst(t)
	}
	c.AwaitServed(t)
	return c
}

// mostStarts is how often a member is started for the first time: one ends whose store does not answer, as stores do that have just started
// on a busy machine, and is started again, as by a supervisor. A test ends with the first.
const mostStarts = 10

// awaitFirst waits until a member that was launched is ready.
func (m *Member) awaitFirst(t testserver.TB) {
	t.Helper()
	for range mostStarts - 1 {
		if err := testserver.Do(func() { m.AwaitReady(t) }); err == nil {
			return
		}
		if m.Running() {
			break
		}
		m.Launch(t)
	}
	m.AwaitReady(t)
}

// free is an address of the member's that nobody else has.
func (m *Member) free(t testserver.TB) string {
	t.Helper()
	_, port, err := net.SplitHostPort(ports.Free(testserver.PortsTB(t)))
	if err != nil {
		t.Fatalf("localcluster: %v", err)
	}
	return net.JoinHostPort(m.place.HostOr("127.0.0.1"), port)
}

// member is the next one of a role, at its place.
func (c *Cluster) member(t testserver.TB, role Role) *Member {
	t.Helper()
	m := &Member{Name: c.name(role), Role: role}
	if c.cfg.Place != nil {
		var err error
		if m.place, err = c.cfg.Place(m.Name); err != nil {
			t.Fatalf("localcluster: %v", err)
		}
	}
	return m
}

// name is that of the next member of a role.
func (c *Cluster) name(role Role) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made[role]++
	return fmt.Sprintf("%s-%d", role, c.made[role])
}

// Add makes a gateway or a frontend that is not started.
func (c *Cluster) Add(t testserver.TB, role Role) *Member {
	t.Helper()
	m := c.member(t, role)
	c.prepare(t, m)
	return m
}

// prepare gives a member its ports, its arguments and its folder.
func (c *Cluster) prepare(t testserver.TB, m *Member) {
	t.Helper()
	m.At.Backends = m.free(t)
	m.args = []string{"--cluster.etcd", c.etcd, "--log.level", c.cfg.logLevel()}
	if m.place != nil { // a network of this machine alone, which product and operators would take for one with others in it
		m.args = append(m.args, "--cluster.security.plaintext")
	}
	switch m.Role {
	case Controller:
		m.args = append(m.args, "--cluster.controller.client", m.At.Client, "--cluster.controller.peer", m.At.Peer, "--cluster.controller.members", c.peers)
	case Gateway:
		m.At.Links = m.free(t)
		m.args = append(m.args, "--cluster.listen", m.At.Links, "--store", c.Store)
	case Frontend:
		m.At.Devices, m.At.DevicesGRPC, m.At.BackendsGRPC = m.free(t), m.free(t), m.free(t)
		m.args = append(m.args, "--listen.devices", m.At.Devices, "--listen.devices-grpc", m.At.DevicesGRPC, "--listen.backends-grpc", m.At.BackendsGRPC)
	}
	m.args = append(m.args, c.cfg.Args[m.Role]...)
	s, err := testserver.New(testserver.Config{
		Name:    m.Name,
		Command: func(dir string) *exec.Cmd { return m.command(c.binaryNow(), dir) },
		Ready:   m.Ready,
		Place:   m.place,
	})
	if err != nil {
		t.Fatalf("localcluster: %v", err)
	}
	s.CloseAfter(t)
	m.Server = s
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = append(c.members, m)
}

// Use has every member run another binary from its next start on.
func (c *Cluster) Use(binary string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.binary = binary
}

func (c *Cluster) binaryNow() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.binary
}

// Members are all of a role, or with an empty one all, in the order of their making.
func (c *Cluster) Members(role Role) []*Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	var some []*Member
	for _, m := range c.members {
		if role == "" || m.Role == role {
			some = append(some, m)
		}
	}
	return some
}

// Remove forgets a member that has ended.
func (c *Cluster) Remove(m *Member) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.members = slices.DeleteFunc(c.members, func(x *Member) bool { return x == m })
}

// Member is that of a name, such as gateway-2; nil: there is none.
func (c *Cluster) Member(name string) *Member {
	for _, m := range c.Members("") {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Elected is the controller that is elected now; nil: none says so.
func (c *Cluster) Elected(ctx context.Context) *Member {
	for _, m := range c.Members(Controller) {
		if !m.Running() {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, time.Second) // it may be paused
		leads, err := m.Metric(ask, "ramen_controller_leads")
		cancel()
		if err == nil && leads == 1 {
			return m
		}
	}
	return nil
}

// Serving is how many shards a gateway serves.
func (m *Member) Serving(ctx context.Context) (int, error) {
	n, err := m.Metric(ctx, `ramen_gateway_shards{state="serving"}`)
	return int(n), err
}

// AwaitServed waits until every shard is served by a gateway, and none is on its way.
func (c *Cluster) AwaitServed(t testserver.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	if err := testserver.Await(ctx, func() error { return c.served(ctx) }); err != nil {
		t.Fatalf("localcluster: %v", err)
	}
}

// AwaitShares waits until these gateways have equal shares of all shards, up to one, and none is on its way.
func (c *Cluster) AwaitShares(t testserver.TB, gateways ...*Member) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	if err := testserver.Await(ctx, func() error {
		least, most, sum := shards, 0, 0
		for _, m := range gateways {
			n, err := m.Serving(ctx)
			if err != nil {
				return err
			}
			least, most, sum = min(least, n), max(most, n), sum+n
		}
		if most-least > 1 || sum != shards {
			return fmt.Errorf("gateways serve %d to %d shards, %d of %d in all", least, most, sum, shards)
		}
		return c.served(ctx)
	}); err != nil {
		t.Fatalf("localcluster: %v", err)
	}
}

func (c *Cluster) served(ctx context.Context) error {
	e := c.Elected(ctx)
	if e == nil {
		return fmt.Errorf("no controller is elected")
	}
	for _, state := range []string{"free", "taking", "releasing"} {
		n, err := e.Metric(ctx, `ramen_controller_shards{state="`+state+`"}`)
		if err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%v shards are %s", n, state)
		}
	}
	return nil
}

// SaveLogs copies what all members have written into a folder.
func (c *Cluster) SaveLogs(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("localcluster: save logs: %w", err)
	}
	for _, m := range c.Members("") {
		text, err := os.ReadFile(m.Log())
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, m.Name+".log"), text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("localcluster: save logs: %w", err)
		}
	}
	return nil
}
