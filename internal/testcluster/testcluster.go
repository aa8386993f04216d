// Package testcluster runs a small cluster in the process of a test: a controller with etcd inside, gateways on a Redis, frontends.
//
// Goroutines: one a process of the cluster, which End waits for.
package testcluster

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"ramen/internal/app"
	"ramen/internal/ports"
	"ramen/internal/testapp"
)

// Shards is how many a cluster has.
const Shards = 16

// patience bounds every wait. It says nothing about how long one should take.
const patience = 60 * time.Second

// Cluster is one that runs until the test ends.
type Cluster struct {
	t       testing.TB
	store   string // URL
	edits   []func(*app.Config)
	client  string // of etcd
	peer    string
	Log     *Log
	Members map[string]*Process
}

// Process is one member of the cluster.
type Process struct {
	URL  string // of its operators' port
	At   app.Addresses
	stop context.CancelFunc
	done chan error
	once sync.Once
}

// New starts the first controller of a cluster whose gateways are to use the store of that URL. The edits are made to each member's configuration.
func New(t testing.TB, store string, edits ...func(*app.Config)) *Cluster {
	c := &Cluster{t: t, store: store, edits: edits, client: ports.Free(t), peer: ports.Free(t), Log: new(Log), Members: make(map[string]*Process)}
	cfg := c.Config("c1", app.RoleController)
	cfg.Cluster.Controller = app.Controller{Data: filepath.Join(t.TempDir(), "etcd"), Client: c.client, Peer: c.peer, Probe: true, Moves: 4}
	c.Start(cfg)
	return c
}

// Config is a member of that name and role, in development, on ports that are free.
func (c *Cluster) Config(name string, role app.Role) app.Config {
	cfg := testapp.Config(c.t)
	cfg.Shards, cfg.Role, cfg.Log.Level = Shards, string(role), "debug"
	cfg.Cluster.Name, cfg.Cluster.Etcd, cfg.Cluster.StartTime = name, []string{c.client}, patience
	cfg.Cluster.Prefix = "/" + c.t.Name() + "/" // of a store that tests share
	cfg.Listen.Backends = ports.Free(c.t)
	cfg.Cluster.Listen = ports.Free(c.t)
	testapp.SetStore(c.t, &cfg, "memory:")
	if role == app.RoleGateway {
		testapp.SetStore(c.t, &cfg, c.store)
	}
	for _, edit := range c.edits {
		edit(&cfg)
	}
	return cfg
}

// Add starts a member of that name and role.
func (c *Cluster) Add(name string, role app.Role) *Process { return c.Start(c.Config(name, role)) }

// Start starts a member. It ends with the test.
func (c *Cluster) Start(cfg app.Config) *Process {
	c.t.Helper()
	log := slog.New(slog.NewTextHandler(c.Log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("process", cfg.Cluster.Name)
	a, err := app.Start(cfg, log)
	if err != nil {
		c.t.Fatalf("start %s: %v", cfg.Cluster.Name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Process{URL: "http://" + a.Addresses().Backends, At: a.Addresses(), stop: stop, done: make(chan error, 1)}
	go func() { p.done <- a.Run(ctx) }()
	c.Members[cfg.Cluster.Name] = p
	c.t.Cleanup(func() { p.End(c.t) })
	return p
}

// End shuts a member down in order, once.
func (p *Process) End(t testing.TB) {
	p.once.Do(func() {
		p.stop()
		select {
		case err := <-p.done:
			if err != nil {
				t.Errorf("shutdown: %v", err)
			}
		case <-time.After(patience):
			t.Errorf("the shutdown did not end within %v", patience)
		}
	})
}

// Await waits until is answers nil.
func (c *Cluster) Await(is func() error) {
	c.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		err := is()
		if err == nil {
			return
		}
		select {
		case <-again.C:
		case <-deadline.C:
			c.t.Fatalf("after %v: %v", patience, err)
		}
	}
}

// Log is what all members have logged, in memory.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
