package localcluster

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"ramen/internal/testprocess"
	"ramen/internal/testserver"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ramen-test-")
	if err == nil {
		binary, err = testprocess.Build(dir)
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(testserver.Main(m), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// TestMembersComeAndGo: all shards are served by the gateways that are there, each has its share, and a member that has left comes back.
func TestMembersComeAndGo(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	c := Start(t, Config{Binary: binary, Controllers: 1, Gateways: 2, Frontends: 1})
	serving := func(m *Member, want int) {
		t.Helper()
		if n, err := m.Serving(t.Context()); err != nil || n != want {
			t.Errorf("%s serves %d shards (%v), want %d", m.Name, n, err, want)
		}
	}
	first, second := c.Member("gateway-1"), c.Member("gateway-2")
	serving(first, 512)
	serving(second, 512)
	first.Stop(t)
	c.AwaitServed(t)
	serving(second, 1024)
	first.Start(t)
	third := c.Add(t, Gateway)
	third.Start(t)
	c.AwaitShares(t, first, second, third)
	third.Kill(t)
	c.AwaitShares(t, first, second)
	if e := c.Elected(t.Context()); e == nil || e.Name != "controller-1" {
		t.Errorf("elected is %+v", e)
	}
}
