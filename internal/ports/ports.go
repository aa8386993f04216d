// Package ports gives addresses to tests and load tests, for processes that come back at the same place.
package ports

// TB is what Free uses of testing.TB, so that programs do not import package testing.
type TB interface {
	Helper()
	Fatal(args ...any)
	Error(args ...any)
	Cleanup(f func())
}

// Free is a loopback address whose TCP port is the test's until it ends.
func Free(t TB) string {
	t.Helper()
	addr, release, err := Reserve()
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
