package testprocess

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Patience bounds every wait for a process. It says nothing about how long things should take.
const Patience = 90 * time.Second

// Build builds cmd/ramen into dir, without the race detector: what is tested is what is shipped.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "ramen")
	if said, err := exec.Command("go", "build", "-o", binary, "ramen/cmd/ramen").CombinedOutput(); err != nil {
		return "", fmt.Errorf("testprocess: build cmd/ramen: %w: %s", err, said)
	}
	return binary, nil
}

// Main is a TestMain: it builds cmd/ramen once for all tests, names it in binary, and fails where goroutines are left.
func Main(m *testing.M, binary *string) {
	dir, err := os.MkdirTemp("", "ramen-test-")
	if err == nil {
		*binary, err = Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, errors.Join(err, os.RemoveAll(dir)))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// Env is the environment of the test without what would configure the binary.
func Env() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RAMEN_") {
			env = append(env, v)
		}
	}
	return env
}
