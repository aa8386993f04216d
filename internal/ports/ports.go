// Package ports gives tests addresses for processes that come back at the same place.
package ports

import (
	"testing"

	"ramen/loadtest/machine"
)

// Free is a loopback address whose TCP port is the test's until it ends.
func Free(t testing.TB) string {
	t.Helper()
	addr, release, err := machine.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return addr
}
