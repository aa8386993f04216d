package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// binary is cmd/ramen, built once for all tests, without the race detector: what is tested is what is shipped.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ramen-process-")
	if err == nil {
		binary = filepath.Join(dir, "ramen")
		build := exec.Command("go", "build", "-o", binary, "ramen/cmd/ramen")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "process: build cmd/ramen:", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}
