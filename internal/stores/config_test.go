package stores

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
	"ramen/store"
	"ramen/store/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testserver.Main(m), faultproxy.Leaks()...) }

// written is the URL as a configuration has it.
func written(t *testing.T, text string) (u driver.URL) {
	t.Helper()
	if err := u.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return u
}

func base(t *testing.T) driver.Params {
	return driver.Params{Dir: t.TempDir(), Shards: 8, IDRetention: time.Minute, Log: slog.New(slog.DiscardHandler)}
}

// TestKindStandsForAURL, unless another URL is written: then nobody knows which is meant.
func TestKindStandsForAURL(t *testing.T) {
	for _, c := range []struct{ kind, url, want, wrong string }{
		{"", "", "pebble:", ""},
		{"pebble", "", "pebble:", ""},
		{"memory", "", "memory:", ""},
		{"memory", "memory:", "memory:", ""},
		{"pebble", "pebble:/elsewhere", "pebble:/elsewhere", ""},
		{"memory", "pebble:", "", "store.kind is memory, but store.url is pebble:"},
		{"pebble", "memory:", "", "leave out store.kind"},
		{"disk", "", "", `store.kind is "disk"; leave it out`},
		{"", "reddis://me:hunter2@h", "", `no store of the scheme "reddis": there are pebble:, memory:`},
	} {
		cfg := Default()
		cfg.Kind = c.kind
		if c.url != "" {
			cfg.URL = written(t, c.url)
		}
		for range 2 { // as at a load, and at a start
			cfg.Complete("data", 8, time.Minute)
		}
		err := cfg.Validate()
		if c.wrong == "" {
			if err != nil || cfg.URL.String() != c.want {
				t.Errorf("kind %q, url %q: %s, %v", c.kind, c.url, cfg.URL, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("kind %q, url %q: %v, want %q", c.kind, c.url, err, c.wrong)
		}
	}
}

// TestOnePasswordCounts: that of the URL, a value or a file, and more than one is a mistake.
func TestOnePasswordCounts(t *testing.T) {
	dir := t.TempDir()
	file := func(text string) string {
		path := filepath.Join(dir, "password")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, c := range map[string]struct {
		cfg         Config
		want, wrong string
	}{
		"none":           {Config{URL: written(t, "memory:")}, "", ""},
		"in the URL":     {Config{URL: written(t, "memory://me:hunter2@h")}, "hunter2", ""},
		"as a value":     {Config{URL: written(t, "memory:"), Password: "hunter2"}, "hunter2", ""},
		"in a file":      {Config{URL: written(t, "memory:"), PasswordFile: file("hunter2\r\n")}, "hunter2", ""},
		"twice":          {Config{URL: written(t, "memory://me:hunter2@h"), Password: "hunter2"}, "", "more than once"},
		"twice, by file": {Config{URL: written(t, "memory:"), Password: "hunter2", PasswordFile: "x"}, "", "more than once"},
		"in no file":     {Config{URL: written(t, "memory:"), PasswordFile: dir + "/nothing"}, "", "no such file"},
	} {
		p, err := c.cfg.Place()
		if c.wrong == "" {
			if err != nil || p.password != c.want || p.Params(driver.Params{}).Password != c.want {
				t.Errorf("%s: %q, %v", name, p.password, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %q", name, err, c.wrong)
		}
	}
	for _, text := range []string{"", "\n", "a\nhunter2\n"} {
		cfg := Config{URL: written(t, "memory:"), PasswordFile: file(text)}
		if _, err := cfg.Place(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("a file with %q: %v", text, err)
		}
	}
	at := func(cfg Config, url, file string) string {
		p, err := cfg.PlaceAt(written(t, url), file)
		if err != nil {
			t.Error(err)
		}
		return p.password
	}
	named := Config{URL: written(t, "memory://me:hunter2@h")}
	if got := []string{at(named, "memory://me@h", ""), at(named, "memory://me@i", ""), at(named, "memory://me:own@h", ""),
		at(Config{Password: "hunter2"}, "memory://me@i", ""), at(named, "memory://me@h", file("other"))}; !slices.Equal(got, []string{"hunter2", "", "own", "hunter2", "other"}) {
		t.Errorf("the passwords of commands are %q", got)
	}
	lonely := Default()
	lonely.CachePassword = "hunter2"
	lonely.Complete("data", 8, time.Minute)
	if err := lonely.Validate(); err == nil || !strings.Contains(err.Error(), "store.cache names none") {
		t.Error(err)
	}
}

func TestTheConfiguredStoreIsOpened(t *testing.T) {
	var log bytes.Buffer
	p := base(t)
	p.Log = slog.New(slog.NewTextHandler(&log, nil))
	cfg := Default()
	cfg.Pebble.MemTableBytes = 256 << 10
	cfg.Complete(p.Dir, p.Shards, p.IDRetention)
	s, err := cfg.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := s.(store.Backuper); !ok || b.Dir() != p.Dir {
		t.Errorf("opened a %T", s)
	}
	if r, err := cfg.Check(t.Context(), p); err != nil || !r.InUse {
		t.Errorf("check: %+v, %v", r, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if log.Len() > 0 {
		t.Errorf("it logged %s", &log)
	}
	cfg = Default()
	cfg.Kind = "memory"
	cfg.Complete(p.Dir, p.Shards, p.IDRetention)
	if s, err = cfg.Open(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"store.kind is deprecated", "all data is lost"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("it did not log %q, but %s", want, &log)
		}
	}
}

// TestACacheIsPutBeforeTheStoresThatTakeOne, both open, and each with its own URL and password.
func TestACacheIsPutBeforeTheStoresThatTakeOne(t *testing.T) {
	var wrapped []string
	known := tiers
	tiers = []driver.Tier{{Kept: []string{"pebble"}, Caches: []string{"memory"},
		Wrap: func(ctx context.Context, kept store.Store, open func(context.Context) (store.Store, error), p driver.Params) (store.Store, error) {
			cache, err := open(ctx)
			wrapped = []string{p.URL.String()}
			return both{kept, cache}, err
		}}}
	t.Cleanup(func() { tiers = known })
	p := base(t)
	cfg := Default()
	cfg.Pebble.MemTableBytes = 256 << 10
	cfg.Cache = written(t, "memory:")
	cfg.Complete(p.Dir, p.Shards, p.IDRetention)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := cfg.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.(both); !ok || len(wrapped) != 1 || wrapped[0] != "pebble:" {
		t.Errorf("%T of %v", s, wrapped)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	cfg.Cache = written(t, "pebble:other")
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "cannot be a cache") {
		t.Error(err)
	}
	cfg.URL, cfg.Cache = written(t, "memory:"), written(t, "memory:")
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "the store memory: takes no cache") {
		t.Error(err)
	}
}
