package localcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ErrNoCommit is the answer where a commit cannot be read: there is no git, no repository, or no such commit in it.
var ErrNoCommit = errors.New("localcluster: the commit cannot be read")

// BuildCommit builds the ramen of a commit of the repository around the working folder, in a new folder in dir, and answers the binary and
// the commit's full name. No file of the repository is touched.
func BuildCommit(ctx context.Context, commit, dir string) (binary, name string, err error) {
	git := func(env []string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Env = append(os.Environ(), env...)
		said, err := cmd.CombinedOutput()
		if err != nil {
			return "", fmt.Errorf("%w: git %s: %w: %s", ErrNoCommit, strings.Join(args, " "), err, strings.TrimSpace(string(said)))
		}
		return strings.TrimSpace(string(said)), nil
	}
	top, err := git(nil, "rev-parse", "--show-toplevel")
	if err == nil {
		name, err = git(nil, "-C", top, "rev-parse", "--verify", commit+"^{commit}")
	}
	if err != nil {
		return "", "", err
	}
	if dir, err = os.MkdirTemp(dir, "ramen-"+name[:12]+"-"); err != nil {
		return "", "", fmt.Errorf("localcluster: build %s: %w", commit, err)
	}
	source := filepath.Join(dir, "source")
	index := []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index")} // not the repository's own
	if _, err = git(index, "-C", top, "read-tree", name); err == nil {
		_, err = git(index, "-C", top, "checkout-index", "--all", "--prefix="+source+"/")
	}
	if err != nil {
		return "", "", err
	}
	binary = filepath.Join(dir, "ramen")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "./cmd/ramen")
	build.Dir = source
	if said, err := build.CombinedOutput(); err != nil {
		return "", "", fmt.Errorf("localcluster: build %s: %w: %s", commit, err, said)
	}
	if err := os.RemoveAll(source); err != nil {
		return "", "", fmt.Errorf("localcluster: build %s: %w", commit, err)
	}
	return binary, name, nil
}
