package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestFix08FailedWriteFailsTheCommand: what could not be printed has not been said, and the exit status tells it.
func TestFix08FailedWriteFailsTheCommand(t *testing.T) {
	serving(t)
	good(t, "", "publish", "--user", "bob", "1")
	for _, args := range [][]string{
		{"version"}, {"--version"}, {"--help"}, {"config"}, {"config", "--markdown"},
		{"publish", "--user", "alice", "1"},
		{"listen", "--user", "bob", "--count", "1"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var errOut strings.Builder
		if status := execute(ctx, args, nil, full{}, &errOut); status == 0 || !strings.Contains(errOut.String(), "no space left") {
			t.Errorf("%v: status %d: %s", args, status, errOut.String())
		}
		cancel()
	}
	if out := good(t, "", "listen", "--user", "bob", "--count", "1"); !strings.Contains(out, " 1\n") {
		t.Errorf("the message that could not be printed is gone: %q", out)
	}
}

// TestFix08CursorFileIsCheckedAtTheStart: one that cannot be kept, or is somebody else's, ends listen with the reason.
func TestFix08CursorFileIsCheckedAtTheStart(t *testing.T) {
	serving(t)
	good(t, "", "publish", "--user", "alice", "1")
	dir := t.TempDir()
	notes := filepath.Join(dir, "notes")
	if err := os.WriteFile(notes, []byte("buy milk\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	huge := filepath.Join(dir, "huge")
	f, err := os.Create(huge)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Truncate(1<<40), f.Close()); err != nil { // sparse: reading all of it would never end
		t.Fatal(err)
	}
	for file, want := range map[string]string{
		notes:                                "does not contain a cursor",
		huge:                                 "does not contain a cursor",
		dir:                                  "directory",
		filepath.Join(dir, "absent", "file"): "no such file or directory",
	} {
		bad(t, "", []string{"listen", "--user", "alice", "--cursor-file", file, "--count", "1"}, "--cursor-file", want)
	}
	if text, err := os.ReadFile(notes); err != nil || string(text) != "buy milk\n" {
		t.Errorf("the notes are now %q, %v", text, err)
	}
	good(t, "", "listen", "--user", "alice", "--cursor-file", filepath.Join(dir, "new"), "--count", "1")
}

// TestFix08CursorFileThatFailsLaterFailsTheCommand: the folder is gone by the time of the save.
func TestFix08CursorFileThatFailsLaterFailsTheCommand(t *testing.T) {
	serving(t)
	good(t, "", "publish", "--user", "alice", "1")
	dir := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var errOut strings.Builder
	gone := writerFunc(func(b []byte) (int, error) { return len(b), os.RemoveAll(dir) })
	args := []string{"listen", "--user", "alice", "--count", "1", "--cursor-file", filepath.Join(dir, "cursor")}
	if status := execute(ctx, args, nil, gone, &errOut); status == 0 || !strings.Contains(errOut.String(), "the cursor could not be saved to --cursor-file") {
		t.Errorf("status %d: %s", status, errOut.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// TestFix08ByteOrderMarkIsNoPartOfTheFirstLine: editors write one before UTF-8; UTF-16 is refused by its name.
func TestFix08ByteOrderMarkIsNoPartOfTheFirstLine(t *testing.T) {
	serving(t)
	const bom = "\xEF\xBB\xBF"
	good(t, bom+`{"user":"alice","payload":1}`+"\n"+`{"user":"alice","payload":2}`+"\n", "publish", "--file", "-")
	good(t, bom+"a line\n", "publish", "--file", "-", "--as", "text", "--user", "alice")
	good(t, bom+`{"a":1}`, "publish", "--user", "alice", "-")
	bad(t, "\xFF\xFE{\x00", []string{"publish", "--file", "-"}, "UTF-16", "save it as UTF-8")
	out := good(t, "", "listen", "--user", "alice", "--count", "4")
	if !strings.Contains(out, " a line\n") || strings.Contains(out, bom) {
		t.Errorf("%q", out)
	}
}

// TestFix08AddressesAreReadBeforeTheyAreTried: a scheme on --grpc means TLS or is refused; a --url without one is explained.
func TestFix08AddressesAreReadBeforeTheyAreTried(t *testing.T) {
	at := serving(t)
	good(t, "", "publish", "--grpc", "http://"+at.BackendsGRPC, "--user", "alice", "1")
	good(t, "", "listen", "--grpc", "http://"+at.DevicesGRPC, "--transport", "grpc", "--user", "alice", "--count", "1")
	bad(t, "", []string{"publish", "--grpc", "ftp://" + at.BackendsGRPC, "--user", "alice", "1"}, "unknown scheme", "https://host:port")
	bad(t, "", []string{"publish", "--grpc", "localhost", "--user", "alice", "1"}, "use host:port")
	bad(t, "", []string{"publish", "--url", at.Backends, "--user", "alice", "1"}, "the scheme is missing: use http://"+at.Backends)
	bad(t, "", []string{"listen", "--url", at.Devices, "--user", "alice"}, "the scheme is missing: use http://"+at.Devices)
	bad(t, "", []string{"publish", "--grpc", "https://" + at.BackendsGRPC, "--user", "alice", "--timeout", "1s", "1"}, "first record does not look like a TLS handshake")
}
