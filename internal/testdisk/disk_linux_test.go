package testdisk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestOnlyWhatWasSyncedIsThereAfterACut, be it a file or what was added to one.
func TestOnlyWhatWasSyncedIsThereAfterACut(t *testing.T) {
	d := New(t)
	write := func(name, text string, sync bool) {
		t.Helper()
		f, err := os.OpenFile(filepath.Join(d.Dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if sync {
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 2 {
		kept, lost := "kept"+string(rune('0'+round)), "lost"+string(rune('0'+round))
		write(kept, "first", true)
		write(kept, "second", false)
		write(lost, "all of it", false)
		d.Cut(t)
		if err := os.WriteFile(filepath.Join(d.Dir, "late"), nil, 0o600); err == nil {
			t.Error("a disk without power was written to")
		}
		d.Restore(t)
		if text, err := os.ReadFile(filepath.Join(d.Dir, kept)); err != nil || !bytes.Equal(text, []byte("first")) {
			t.Errorf("what was synced reads %q, %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(d.Dir, lost)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("what was not synced is there: %v", err)
		}
	}
}

// TestDiskLeavesNothingBehind once its test has ended, cut or not.
func TestDiskLeavesNothingBehind(t *testing.T) {
	var d *Disk
	t.Run("test", func(t *testing.T) {
		d = New(t)
		d.Cut(t)
	})
	if d == nil {
		t.Skip("skipped: there is no disk")
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil || bytes.Contains(mounts, []byte(d.Dir)) {
		t.Errorf("it is mounted: %v", err)
	}
	if _, err := os.Stat(d.home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is left: %v", err)
	}
}
