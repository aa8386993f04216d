package memory

import (
	"testing"
	"testing/synctest"
	"time"

	"ramen/topology/registry"
	"ramen/topology/registry/registrytest"
)

func TestConformance(t *testing.T) {
	registrytest.Run(t, func(t *testing.T, test func(registrytest.Subject)) {
		synctest.Test(t, func(t *testing.T) {
			r := New()
			stop := func() (start func()) {
				r.SetDown(true)
				return func() { r.SetDown(false) }
			}
			test(registrytest.Subject{Open: func() registry.Backend { return r.Client() }, Wipe: r.Wipe, Stop: stop, Patience: 10 * time.Second, Sleep: time.Sleep})
		})
	})
}
