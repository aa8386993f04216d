package pebble

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestFix19RepairKeepsTablesThatNothingNames: a manifest that does not name a table may not be the one that counted, and the engine
// would drop the table. Nothing is changed then, and another repair, once the missing file is back, finds what was there.
func TestFix19RepairKeepsTablesThatNothingNames(t *testing.T) {
	const n = 150
	cfg := stopped(t, n, true)
	table := filepath.Join(cfg.Dir, "999999.sst")
	writeFile(t, table, []byte("of a manifest that is missing"))
	markers, err := filepath.Glob(filepath.Join(cfg.Dir, "marker.manifest*"))
	if err != nil || len(markers) != 1 {
		t.Fatal(markers, err)
	}
	text := readFile(t, markers[0])
	removeAll(t, cfg.Dir, "marker.manifest*")
	for range 2 { // also by a second try in the same second
		if r, err := Repair(cfg.Dir, quiet()); err == nil || !strings.Contains(err.Error(), "does not list the table 999999.sst") {
			t.Fatalf("%+v, %v", r, err)
		}
		if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "marker.manifest*")); len(left) > 0 {
			t.Fatalf("a guess is left: %v", left)
		}
	}
	if copies, _ := filepath.Glob(filepath.Join(cfg.Dir, damagedPrefix+"*")); len(copies) != 2 {
		t.Errorf("copies: %v", copies)
	}
	if err := os.Remove(table); err != nil {
		t.Fatal(err)
	}
	writeFile(t, markers[0], text)
	if report, err := Verify(cfg.Dir); err != nil || report.Messages != n {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestFix19RepairKeepsTheTables in its copy of what it found.
func TestFix19RepairKeepsTheTables(t *testing.T) {
	cfg, tables := withTables(t)
	removeAll(t, cfg.Dir, "marker.*")
	r, err := Repair(cfg.Dir, quiet())
	if err != nil || r.Copy == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, table := range tables {
		if _, err := os.Stat(filepath.Join(r.Copy, filepath.Base(table))); err != nil {
			t.Error(err)
		}
	}
}

// TestFix03CheckOfADamagedTableIsAnAnswer, not a panic of the engine's.
func TestFix03CheckOfADamagedTableIsAnAnswer(t *testing.T) {
	cfg, tables := withTables(t)
	for _, table := range tables {
		b := readFile(t, table)
		for i := range min(len(b), 200) {
			b[i] ^= 0x55
		}
		writeFile(t, table, b)
	}
	done := make(chan error, 1)
	go func() { done <- Check(cfg) }()
	select {
	case err := <-done:
		if err == nil {
			t.Errorf("%d tables are damaged, and Check answers nil", len(tables))
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}

// withTables is a stopped store that has tables, and their files.
func withTables(t *testing.T) (cfg Config, tables []string) {
	t.Helper()
	cfg = stopped(t, 150, true)
	s, err := Open(cfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	tables, err = filepath.Glob(filepath.Join(cfg.Dir, "*.sst"))
	if err != nil || len(tables) == 0 {
		t.Fatalf("tables: %v, %v", tables, err)
	}
	return cfg, tables
}
