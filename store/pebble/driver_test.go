package pebble

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ramen/store/driver"
)

func params(t *testing.T, text, data string) driver.Params {
	t.Helper()
	u, err := driver.ParseURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return driver.Params{URL: u.Location(), Dir: data, Shards: 8, IDRetention: time.Minute, Log: quiet()}
}

// TestDriverOpensTheFolderOfTheURL: that of the configuration, unless the URL names one. Check looks at the same, and makes nothing.
func TestDriverOpensTheFolderOfTheURL(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	cfg := Default()
	cfg.MemTableBytes = minMemTable
	d := Driver(cfg)
	for text, want := range map[string]string{
		"pebble:":                       "data",
		"pebble:here":                   "here",
		"pebble:a%20b/c":                "a b/c",
		"pebble:" + dir + "/absolute":   "absolute",
		"pebble://" + dir + "/absolute": "absolute",
	} {
		p := params(t, text, "data")
		r, err := d.Check(t.Context(), p)
		if err != nil || r.InUse || r.Durability == "" {
			t.Errorf("check %s: %+v, %v", text, r, err)
		}
		s, err := d.Open(t.Context(), p)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, want, lockName)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if r, err := d.Check(t.Context(), p); err != nil || !r.InUse {
			t.Errorf("check %s while it is open: %+v, %v", text, r, err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	other := params(t, "pebble:", "data")
	other.Shards = 9
	if _, err := d.Check(t.Context(), other); err == nil || !strings.Contains(err.Error(), "8 shards") {
		t.Errorf("check with another number of shards: %v", err)
	}
	for text, want := range map[string]string{"pebble:?cache_bytes=1": "store.pebble", "pebble://host/x": "no host", "pebble://me@/x": "no host"} {
		if s, err := d.Open(t.Context(), params(t, text, "data")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("open %s: %v, %v", text, s, err)
		}
	}
}

func TestDriverKeepsWithinItsMemory(t *testing.T) {
	d := Driver(Default())
	p := params(t, "pebble:", "data")
	most, _ := d.Memory(p)
	p.MemoryBytes = most / 2
	if all, outside := d.Memory(p); all > p.MemoryBytes || outside >= all {
		t.Errorf("of %d bytes at most %d are allowed, and %d are taken, %d of them outside of the heap", most, p.MemoryBytes, all, outside)
	}
}
