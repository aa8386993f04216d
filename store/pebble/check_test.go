package pebble

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ramen/protocol"
)

// TestFix03CheckRefusesWhatOpenRefuses, and takes what Open takes, without leaving a trace.
func TestFix03CheckRefusesWhatOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(t *testing.T, cfg *Config)
		want string // empty: it opens
	}{
		{"new", func(_ *testing.T, cfg *Config) { cfg.Dir = filepath.Join(cfg.Dir, "a", "b") }, ""},
		{"empty", func(*testing.T, *Config) {}, ""},
		{"a store", func(t *testing.T, cfg *Config) { fillStore(t, *cfg) }, ""},
		{"a store without markers", func(t *testing.T, cfg *Config) {
			fillStore(t, *cfg)
			markers, err := filepath.Glob(filepath.Join(cfg.Dir, "marker.*"))
			if err != nil || len(markers) == 0 {
				t.Fatal(markers, err)
			}
			for _, m := range markers {
				if err := os.Remove(m); err != nil {
					t.Fatal(err)
				}
			}
		}, "lacks marker."},
		{"other files", func(t *testing.T, cfg *Config) { touch(t, filepath.Join(cfg.Dir, "letter.txt")) }, "but no store"},
		{"without LOCK", func(t *testing.T, cfg *Config) {
			fillStore(t, *cfg)
			if err := os.Remove(filepath.Join(cfg.Dir, "LOCK")); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"other shards", func(t *testing.T, cfg *Config) { fillStore(t, *cfg); cfg.Shards = 7 }, "stored in 4 shards"},
		{"a file", func(t *testing.T, cfg *Config) { cfg.Dir = touch(t, filepath.Join(cfg.Dir, "f")) }, "file"},
		{"under a file", func(t *testing.T, cfg *Config) {
			cfg.Dir = filepath.Join(touch(t, filepath.Join(cfg.Dir, "f")), "data")
		}, "f"},
		{"lock is a folder", func(t *testing.T, cfg *Config) {
			if err := os.Mkdir(filepath.Join(cfg.Dir, "LOCK"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, "cannot be locked"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t, nil)
			cfg.Shards = 4
			if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
				t.Fatal(err)
			}
			c.make(t, &cfg)
			before := files(t, cfg.Dir)
			checked := Check(cfg)
			if after := files(t, cfg.Dir); after != before {
				t.Errorf("Check left %s, found %s", after, before)
			}
			s, opened := Open(cfg, quiet(), nil)
			if opened == nil {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
			if (checked == nil) != (opened == nil) || (opened == nil) != (c.want == "") {
				t.Fatalf("Check says %v, Open %v", checked, opened)
			}
			if c.want != "" && !strings.Contains(checked.Error(), c.want) {
				t.Errorf("Check says %v, not %q", checked, c.want)
			}
		})
	}
}

// TestFix10LockSaysOneTrueThing: that another has it, or that it cannot be had.
func TestFix10LockSaysOneTrueThing(t *testing.T) {
	cfg := testConfig(t, nil)
	open(t, cfg)
	if err := Check(cfg); !errors.Is(err, ErrInUse) || strings.Contains(err.Error(), "cannot be locked") {
		t.Errorf("in use: %v", err)
	}
	if _, err := Open(cfg, quiet(), nil); !errors.Is(err, ErrInUse) || strings.Contains(err.Error(), "cannot be locked") {
		t.Errorf("in use: %v", err)
	}
	other := testConfig(t, nil)
	if err := os.MkdirAll(filepath.Join(other.Dir, "LOCK"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(other, quiet(), nil); err == nil || errors.Is(err, ErrInUse) || strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), "cannot be locked") {
		t.Errorf("not to be had: %v", err)
	}
}

// fillStore makes a store with something in it.
func fillStore(t *testing.T, cfg Config) {
	t.Helper()
	s, err := Open(cfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Claim(context.Background(), []protocol.ShardID{0}, 1, "test")...); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, path string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// files names what is in dir, with sizes.
func files(t *testing.T, dir string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			fmt.Fprintln(&all, path, info.Mode(), info.Size())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
