package proxied

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait of these tests. It says nothing about how long things should take.
const patience = 90 * time.Second

// binary is cmd/ramen, built once for all tests, without the race detector: what is tested is what is shipped.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ramen-proxied-")
	if err == nil {
		binary = filepath.Join(dir, "ramen")
		build := exec.Command("go", "build", "-o", binary, "ramen/cmd/ramen")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "proxied: build cmd/ramen:", err)
		os.Exit(1)
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "6") // they wait more than they work
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
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
