package pebble

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"

	"ramen/protocol"
)

// childEnv names what a copy of the test program does instead of testing, and childDir where.
const (
	childEnv = "RAMEN_TEST_CHILD"
	childDir = "RAMEN_TEST_DIR"
)

func child(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^TestChild$")
	c.Env = append(os.Environ(), childEnv+"="+what, childDir+"="+dir)
	return c
}

// TestChild is the other process of the tests below.
func TestChild(t *testing.T) {
	what := os.Getenv(childEnv)
	if what == "" {
		t.Skip("runs as another test's child")
	}
	cfg := Default()
	cfg.Dir = os.Getenv(childDir)
	fs := &brokenFS{FS: vfs.Default}
	if what == "break" {
		cfg.FS = fs
	}
	s, err := Open(cfg, slog.New(slog.NewTextHandler(os.Stderr, nil)), nil)
	if err != nil {
		fmt.Println("refused:", err)
		os.Exit(7)
	}
	if err := errors.Join(s.Claim(context.Background(), []protocol.ShardID{1}, 1, "test")...); err != nil {
		t.Fatal(err)
	}
	for n := uint64(1); ; n++ {
		if n == 50 {
			fs.broken.Store(true)
		}
		err := appendOne(context.Background(), s, "u", entry(fmt.Sprint("m", n), protocol.PriorityHigh, n))
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(8)
		}
		fmt.Println("accepted", n)
	}
}

// brokenFS cannot write the journal once it is broken.
type brokenFS struct {
	vfs.FS
	broken atomic.Bool
}

type brokenFile struct {
	vfs.File
	fs *brokenFS
}

func (b *brokenFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	f, err := b.FS.OpenReadWrite(name, c, o...)
	if err != nil || !strings.HasPrefix(b.PathBase(name), "journal-") {
		return f, err
	}
	return &brokenFile{f, b}, nil
}

func (b *brokenFS) Unwrap() vfs.FS { return b.FS }

func (f *brokenFile) WriteAt(p []byte, off int64) (int, error) {
	if f.fs.broken.Load() {
		return 0, unix.EIO
	}
	return f.File.WriteAt(p, off)
}

func (f *brokenFile) Fd() uintptr { return vfs.InvalidFd }

// accepted counts the child's last accepted message.
func accepted(t *testing.T, out string) (n int) {
	t.Helper()
	for line := range strings.Lines(out) {
		if _, err := fmt.Sscanf(line, "accepted %d\n", &n); err != nil && strings.HasPrefix(line, "accepted") {
			t.Fatalf("line %q: %v", line, err)
		}
	}
	return n
}

func wantMessages(t *testing.T, dir string, least int) {
	t.Helper()
	cfg := Default()
	cfg.Dir = dir
	s := open(t, cfg)
	m, err := s.Load(t.Context(), owner, "u")
	if err != nil || len(m.Entries) < least || len(m.Entries) > least+1 {
		t.Fatalf("%d messages, %v; %d were accepted, one more may be there", len(m.Entries), err, least)
	}
}

func TestKilledProcessLosesNothingAccepted(t *testing.T) {
	dir := t.TempDir()
	c := child(t, "append", dir)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var seen bytes.Buffer
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		fmt.Fprintln(&seen, lines.Text())
		if n == 200 {
			if err := c.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Wait(); err == nil {
		t.Fatal("the child ended by itself")
	}
	wantMessages(t, dir, accepted(t, seen.String()))
}

func TestLogFailureEndsTheProcess(t *testing.T) {
	dir := t.TempDir()
	c := child(t, "break", dir)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Fatalf("child: %v\n%s\n%s", err, out, &stderr)
	}
	if !strings.Contains(stderr.String(), "level=ERROR msg=\"store/pebble: the disk failed; the process ends") ||
		!strings.Contains(stderr.String(), unix.EIO.Error()) {
		t.Errorf("log:\n%s", &stderr)
	}
	if n := accepted(t, string(out)); n != 49 {
		t.Errorf("%d accepted, 49 before the log broke", n)
	}
	wantMessages(t, dir, 49)
}

func TestSecondOpenIsRefused(t *testing.T) {
	cfg := testConfig(t, nil)
	open(t, cfg)
	check := func(where, text string) {
		t.Helper()
		for _, want := range []string{cfg.Dir, "in use by another ramen process"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %q does not say %q", where, text, want)
			}
		}
	}
	if _, err := Open(cfg, quiet(), nil); err == nil {
		t.Error("a second open in this process succeeded")
	} else {
		check("this process", err.Error())
	}
	out, err := child(t, "append", cfg.Dir).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Fatalf("child: %v\n%s", err, out)
	}
	check("another process", string(out))
}

func TestForeignFilesAreRefused(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	putFormat(t, s, 99)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(cfg, quiet(), nil); err == nil || !strings.Contains(err.Error(), "format 63") {
		t.Errorf("another format: %v", err)
	}
}

func putFormat(t *testing.T, s *Store, version byte) {
	t.Helper()
	if err := errors.Join(s.db.Set(keyFormat, []byte{version}, engine.NoSync), s.db.Flush()); err != nil {
		t.Fatal(err)
	}
}
