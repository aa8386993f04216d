package etcd

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"ramen/internal/ports"
	"ramen/topology/etcdserver"
)

// TestRenewalsAuthenticateOnce: with a user and password, renewals do not authenticate each: that would be a write of etcd's log, and a hash.
func TestRenewalsAuthenticateOnce(t *testing.T) {
	s, err := etcdserver.Start(etcdserver.Config{Name: "a", Dir: t.TempDir(), Client: ports.Free(t), Peer: ports.Free(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.AwaitReady(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	enableAuth(ctx, t, s.Client())

	r, err := Open(Config{Endpoints: []string{s.Client()}, Prefix: "/test/", User: "root", Password: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	lease, err := r.Grant(ctx, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Renew(ctx, lease); err != nil {
		t.Fatal(err)
	}
	before := written(ctx, t, r.Client(), s.Client())
	const renewals = 20
	for range renewals {
		if err := r.Renew(ctx, lease); err != nil {
			t.Fatal(err)
		}
	}
	if n := written(ctx, t, r.Client(), s.Client()) - before; n >= renewals/2 {
		t.Errorf("%d renewals wrote %d entries to etcd's log", renewals, n)
	}
}

func enableAuth(ctx context.Context, t *testing.T, endpoint string) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: dialTimeout})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.UserAdd(ctx, "root", "secret"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.RoleAdd(ctx, "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UserGrantRole(ctx, "root", "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AuthEnable(ctx); err != nil {
		t.Fatal(err)
	}
}

// written is how many entries etcd's log has.
func written(ctx context.Context, t *testing.T, c *clientv3.Client, endpoint string) uint64 {
	t.Helper()
	a, err := c.Status(ctx, endpoint)
	if err != nil {
		t.Fatal(err)
	}
	return a.RaftIndex
}
