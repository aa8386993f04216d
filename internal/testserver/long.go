package testserver

import "os"

// longVariable has tests run that take minutes and a machine for themselves, such as those that need three nodes of Cassandra.
const longVariable = "RAMEN_LONG"

// Long skips a test unless RAMEN_LONG is set, as make faults does.
func Long(t TB) {
	t.Helper()
	if os.Getenv(longVariable) == "" {
		t.Skipf("it takes minutes and a machine for itself: make faults runs it, and %s=1 go test", longVariable)
	}
}
