package pebble

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store/pebble/journal"
)

// stopped is a directory of a store that took n messages over several segments of its journal, and was stopped in order, or
// was killed after a moment in which nothing came.
func stopped(t *testing.T, n int, inOrder bool) Config {
	t.Helper()
	cfg := testConfig(t, nil)
	cfg.SegmentBytes, cfg.CheckpointDelay, cfg.CheckpointEvery = 64*kiB, time.Minute, time.Hour
	synced := make(chan struct{}, 1)
	cfg.FS = &gateFS{FS: vfs.Default, step: func(op string) {
		if op == "sync" {
			select {
			case synced <- struct{}{}:
			default:
			}
		}
	}}
	s := mustOpen(t, cfg)
	cfg.FS = nil
	claim(t, s)
	for i := range n {
		e := entry(fmt.Sprint("m", i), protocol.PriorityHigh, uint64(i+1))
		e.Message.Payload = make([]byte, 1000)
		if err := appendOne(context.Background(), s, "u", e); err != nil {
			t.Fatal(err)
		}
	}
	if inOrder {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	for end := time.After(10 * time.Second); ; { // until a mark is the journal's last record
		if b := readFile(t, newest(t, cfg.Dir)); b[lastByte(b)] == 'm' && lastByte(b)%8 == 0 {
			break
		}
		select {
		case <-synced:
		case <-end:
			b := readFile(t, newest(t, cfg.Dir))
			t.Fatalf("no mark came: %s, %d bytes long, ends at %d with %x; the journal is at %d", newest(t, cfg.Dir), len(b), lastByte(b), b[lastByte(b)], s.journal.Current())
		}
	}
	killed := cfg
	killed.Dir = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(killed.Dir, os.DirFS(cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return killed
}

// newest is the segment that was written to last.
func newest(t *testing.T, dir string) (path string) {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "journal-*"))
	if err != nil || len(all) == 0 {
		t.Fatalf("segments %v, %v", all, err)
	}
	slices.Sort(all)
	for _, p := range all {
		if lastByte(readFile(t, p)) > 200 { // more than a head
			path = p
		}
	}
	return path
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func lastByte(b []byte) int {
	i := len(b) - 1
	for i > 0 && b[i] == 0 {
		i--
	}
	return i
}

// TestFix19NoAnsweredMessageIsLeftOutWithoutAWord does to the journal's end what copies, backups and disks do. The store does not
// start, says what is wrong and what to do, and changes nothing.
func TestFix19NoAnsweredMessageIsLeftOutWithoutAWord(t *testing.T) {
	const n = 150
	left := []struct {
		name string
		cfg  Config
	}{{"stopped", stopped(t, n, true)}, {"killed", stopped(t, n, false)}}
	for name, damage := range map[string]func(t *testing.T, path string){
		"cut to nothing": func(t *testing.T, path string) { writeFile(t, path, nil) },
		"cut to half":    func(t *testing.T, path string) { b := readFile(t, path); writeFile(t, path, b[:len(b)/2]) },
		"removed": func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		},
		"swapped with an unused one": func(t *testing.T, path string) {
			other := path[:len(path)-3] + "009"
			writeFile(t, other, make([]byte, len(readFile(t, path))))
			for _, move := range [][2]string{{path, path + "x"}, {other, path}, {path + "x", other}} {
				if err := os.Rename(move[0], move[1]); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a bit of the last message": func(t *testing.T, path string) {
			b := readFile(t, path)
			b[strings.LastIndex(string(b), fmt.Sprint("m", n-1))] ^= 1
			writeFile(t, path, b)
		},
		"the page of the last message": func(t *testing.T, path string) {
			b := readFile(t, path)
			page := strings.LastIndex(string(b), fmt.Sprint("m", n-1)) &^ 4095
			clear(b[page : page+4096])
			writeFile(t, path, b)
		},
	} {
		for _, how := range left {
			t.Run(name+"/"+how.name, func(t *testing.T) {
				cfg := how.cfg
				cfg.Dir = filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(cfg.Dir, os.DirFS(how.cfg.Dir)); err != nil {
					t.Fatal(err)
				}
				damage(t, newest(t, cfg.Dir))
				s, err := Open(cfg, quiet(), nil)
				if err == nil {
					claim(t, s)
					m, _ := s.Load(t.Context(), owner, "u")
					_ = s.Close()
					t.Fatalf("opened, with %d messages of %d", len(m.Entries), n)
				}
				if !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "ramen store verify --repair "+cfg.Dir) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// TestFix19WhatAKillCutOffIsTold: a write that is there in part was never answered; it is left out, with its number in the log.
func TestFix19WhatAKillCutOffIsTold(t *testing.T) {
	cfg := stopped(t, 20, false)
	path := newest(t, cfg.Dir)
	b := readFile(t, path)
	copy(b[lastByte(b)+1:], "part of a record, say")
	writeFile(t, path, b)
	var log strings.Builder
	s, err := Open(cfg, slog.New(slog.NewTextHandler(&log, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	claim(t, s)
	m, err := s.Load(t.Context(), owner, "u")
	if err != nil || len(m.Entries) != 20 {
		t.Fatalf("%d messages, %v", len(m.Entries), err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "segment=1 record=") {
		t.Errorf("log:\n%s", &log)
	}
}

// TestFix19DamageIsToldNowAndThen: a block that cannot be read may be asked for thousands of times a second.
func TestFix19DamageIsToldNowAndThen(t *testing.T) {
	var log strings.Builder
	m, err := newMetrics(nil, gauges{})
	if err != nil {
		t.Fatal(err)
	}
	l := listener(slog.New(slog.NewTextHandler(&log, nil)), &diskSpace{metrics: m})
	for range 100 {
		l.DataCorruption(engine.DataCorruptionInfo{Path: "000007.sst", Details: errors.New("checksum")})
	}
	if n := strings.Count(log.String(), "a file is damaged"); n != 1 {
		t.Errorf("%d lines for 100 reads at once", n)
	}
}

// TestFix19OlderFormatsBecomeThisOne: what the last release left opens, is told, and is not for that release any more.
func TestFix19OlderFormatsBecomeThisOne(t *testing.T) {
	cfg := testConfig(t, nil)
	s := mustOpen(t, cfg)
	claim(t, s)
	if err := appendOne(t.Context(), s, "u", entry("a", protocol.PriorityHigh, 1)); err != nil {
		t.Fatal(err)
	}
	putFormat(t, s, 2)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, told := range []bool{true, false} {
		var log strings.Builder
		s, err := Open(cfg, slog.New(slog.NewTextHandler(&log, nil)), nil)
		if err != nil {
			t.Fatal(err)
		}
		claim(t, s)
		m, err := s.Load(t.Context(), owner, "u")
		if err != nil || len(m.Entries) != 1 {
			t.Fatalf("%d messages, %v", len(m.Entries), err)
		}
		v, err := get(s.db, keyFormat)
		if err != nil || len(v) != 1 || v[0] != formatVersion {
			t.Errorf("format %x, %v", v, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(log.String(), "newer format") != told {
			t.Errorf("told: %v, log:\n%s", told, &log)
		}
	}
}
