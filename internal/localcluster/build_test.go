package localcluster

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestCommitIsBuilt: the binary of a commit runs, and what is no commit is told apart from what does not build.
func TestCommitIsBuilt(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the product")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	if _, _, err := BuildCommit(ctx, "no-such-commit", t.TempDir()); !errors.Is(err, ErrNoCommit) {
		t.Errorf("no-such-commit: %v", err)
	}
	built, name, err := BuildCommit(ctx, "HEAD", t.TempDir())
	if errors.Is(err, ErrNoCommit) {
		t.Skipf("skipped: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(name) != 40 {
		t.Errorf("HEAD is %q", name)
	}
	if said, err := exec.CommandContext(ctx, built, "config").CombinedOutput(); err != nil || !strings.Contains(string(said), "cluster:") {
		t.Errorf("ramen config of HEAD: %v: %.300s", err, said)
	}
}
