package etcd

import (
	"fmt"
	"testing"
	"time"

	"ramen/internal/ports"
	"ramen/topology/etcdserver"
	"ramen/topology/registry"
	"ramen/topology/registry/registrytest"
)

func TestConformance(t *testing.T) {
	n := 0
	registrytest.Run(t, func(t *testing.T, test func(registrytest.Subject)) {
		client, peer := ports.Free(t), ports.Free(t)
		cfg := etcdserver.Config{Name: "a", Client: client, Peer: peer}
		var s *etcdserver.Server
		start := func() {
			var err error
			if s, err = etcdserver.Start(cfg); err != nil {
				t.Fatal(err)
			}
			if err := s.AwaitReady(20 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		cfg.Dir = t.TempDir()
		start()
		defer func() { s.Close() }()
		n++
		prefix := fmt.Sprintf("/ramen/test-%d/", n)
		test(registrytest.Subject{
			Open: func() registry.Backend {
				r, err := Open(Config{Endpoints: []string{cfg.Client}, Prefix: prefix})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { r.Close() })
				return r
			},
			Wipe: func() {
				s.Close()
				cfg.Dir = t.TempDir()
				start()
			},
			Stop: func() func() {
				s.Close()
				return start
			},
			Patience: 20 * time.Second, Sleep: time.Sleep,
		})
	})
}
