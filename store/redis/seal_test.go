package redis

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
)

// logBuffer keeps what is logged, from any goroutine.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestRottenBitIsToldAndNeverServed, whichever byte of an entry or of a device it is in, or whose field a value has come under; all else is.
func TestRottenBitIsToldAndNeverServed(t *testing.T) {
	var log logBuffer
	f := newFixture(t, redistest.Options{}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	f.mustAppend(step(0, entry("whole", 10), entry("rotten", 20)))
	device := store.DeviceSave{Owner: at1, User: "u", Device: store.Device{ID: "d", LastSeenMS: nowMS(), Acked: protocol.Cursor{}}}
	if errs := f.SaveDevices(t.Context(), []store.DeviceSave{device}, true); errs != nil {
		t.Fatal(errs)
	}
	client := f.server.Client(t)
	keys, err := client.Keys(t.Context(), "*:u:u").Result()
	if err != nil || len(keys) != 1 {
		t.Fatalf("the user's keys are %q: %v", keys, err)
	}
	key := keys[0]
	fields := map[string]int{string(appendEntryField(nil, ref(entry("rotten", 20)))): 0, string(fieldDevice) + "d": orderSize}
	set := func(field, value string) {
		t.Helper()
		if err := client.HSet(t.Context(), key, field, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for field, from := range fields {
		good, err := client.HGet(t.Context(), key, field).Result()
		if err != nil || len(good) <= from+sealSize {
			t.Fatalf("field %q: %d bytes, %v", field, len(good), err)
		}
		damaged := []string{good[:from], good[:len(good)-1], good + "x"}
		for i := from; i < len(good); i++ {
			b := []byte(good)
			b[i] ^= 1 << (i % 8)
			damaged = append(damaged, string(b))
		}
		for _, bad := range damaged {
			set(field, bad)
			told := strings.Count(log.String(), "corrupt")
			m := f.load()
			if want := map[bool][2]int{true: {1, 1}, false: {2, 0}}[field[0] == fieldEntry]; len(m.Entries) != want[0] || len(m.Devices) != want[1] || m.Entries[0].Message.ID != "whole" {
				t.Fatalf("field %q, %d bytes of %d: loaded %d entries and %d devices", field, len(bad), len(good), len(m.Entries), len(m.Devices))
			}
			if strings.Count(log.String(), "corrupt") != told+1 {
				t.Fatalf("field %q: it was not told", field)
			}
		}
		set(field, good)
		if m := f.load(); len(m.Entries) != 2 || len(m.Devices) != 1 {
			t.Fatalf("mended: %d entries, %d devices", len(m.Entries), len(m.Devices))
		}
	}
	// A value under the name of another entry is none of that entry.
	good, err := client.HGet(t.Context(), key, string(appendEntryField(nil, ref(entry("whole", 10))))).Result()
	if err != nil {
		t.Fatal(err)
	}
	set(string(appendEntryField(nil, ref(entry("rotten", 20)))), good)
	if m := f.load(); len(m.Entries) != 1 {
		t.Fatalf("a value of another entry was loaded: %d entries", len(m.Entries))
	}
}
