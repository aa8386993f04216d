package control

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ramen/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake answers each backup with what its function says.
type fake struct {
	dir    string
	backup func(ctx context.Context, dir string) (store.Backup, error)
}

func (f fake) Dir() string { return f.dir }

func (f fake) Backup(ctx context.Context, dir string) (store.Backup, error) {
	return f.backup(ctx, dir)
}

func listen(t *testing.T, dir string, backup func(context.Context, string) (store.Backup, error)) {
	t.Helper()
	s, err := Listen(fake{dir, backup}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFix07CommandReachesTheServer: in any directory, however long its path is, and only whoever may write there.
func TestFix07CommandReachesTheServer(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long", 50))} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		if _, err := Backup(t.Context(), dir, "/b"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("without a server: %v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, Name), nil, 0o600); err != nil { // what a killed one leaves
			t.Fatal(err)
		}
		if _, err := Backup(t.Context(), dir, "/b"); !errors.Is(err, ErrNotRunning) {
			t.Errorf("where one was killed: %v", err)
		}
		listen(t, dir, func(_ context.Context, target string) (store.Backup, error) {
			if target != "/a & b" {
				return store.Backup{}, errors.New("disk on fire: " + target)
			}
			return store.Backup{Files: 3, Bytes: 4}, nil
		})
		if done, err := Backup(t.Context(), dir, "/a & b"); err != nil || done.Files != 3 || done.Bytes != 4 {
			t.Errorf("%+v, %v", done, err)
		}
		if _, err := Backup(t.Context(), dir, "/c"); err == nil || err.Error() != "disk on fire: /c" {
			t.Errorf("a failure: %v", err)
		}
		if info, err := os.Stat(filepath.Join(dir, Name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	}
}

// TestFix07BackupEndsWithItsCaller, and with the server.
func TestFix07BackupEndsWithItsCaller(t *testing.T) {
	dir := t.TempDir()
	begun := make(chan struct{}, 1)
	s, err := Listen(fake{dir, func(ctx context.Context, _ string) (store.Backup, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return store.Backup{}, ctx.Err()
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if _, err := Backup(ctx, dir, "/b"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	failed := make(chan error, 1)
	go func() { _, err := Backup(t.Context(), dir, "/b"); failed <- err }()
	<-begun
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := <-failed; err == nil {
		t.Error("a backup that was cut off is taken for one")
	}
}
