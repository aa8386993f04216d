package proxied

import (
	"flag"
	"testing"
	"time"

	"ramen/internal/testprocess"
)

const patience = testprocess.Patience

// binary is cmd/ramen.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // they wait more than they work
	testprocess.Main(m, &binary)
}

// until asks again until done says yes.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for late := time.After(patience); !done(); {
		select {
		case <-again.C:
		case <-late:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
