package testprocess

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/testserver"
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
	goleak.VerifyTestMain(testserver.Main(m), goleak.Cleanup(func(code int) {
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

// Edit is a fault that is built into the binary: a text of a file of this module that is replaced, which has to be there once.
type Edit struct{ File, Old, New string }

// BuildEdited builds cmd/ramen with edits into dir. root is the module's folder. No file of the module is touched: the compiler reads others in their place.
func BuildEdited(root, dir string, edits ...Edit) (binary string, err error) {
	replace := make(map[string]string)
	for i, e := range edits {
		path, err := filepath.Abs(filepath.Join(root, e.File))
		if err != nil {
			return "", fmt.Errorf("testprocess: %w", err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("testprocess: build with a fault: %w", err)
		}
		if n := strings.Count(string(text), e.Old); n != 1 {
			return "", fmt.Errorf("testprocess: %s has %d times, not once, what the fault is put in place of: %s", e.File, n, e.Old)
		}
		replace[path] = filepath.Join(dir, fmt.Sprintf("edited-%d%s", i, filepath.Ext(path)))
		if err := os.WriteFile(replace[path], []byte(strings.Replace(string(text), e.Old, e.New, 1)), 0o600); err != nil {
			return "", fmt.Errorf("testprocess: build with a fault: %w", err)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return "", fmt.Errorf("testprocess: build with a fault: %w", err)
	}
	binary = filepath.Join(dir, "ramen")
	if said, err := exec.Command("go", "build", "-overlay", overlay, "-o", binary, "ramen/cmd/ramen").CombinedOutput(); err != nil {
		return "", fmt.Errorf("testprocess: build with a fault: %w: %s", err, said)
	}
	return binary, nil
}
