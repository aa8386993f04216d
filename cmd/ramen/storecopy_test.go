package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ramen/store/transfer"
)

// TestDevicesGoOnAtACopiedStore: a device's cursor of the one is honoured by the other, which gives what was not acked, and nothing
// twice; and by the first no more.
func TestDevicesGoOnAtACopiedStore(t *testing.T) {
	dir := t.TempDir()
	old, fresh := filepath.Join(dir, "old"), filepath.Join(dir, "new")
	at, stop := keeping(t, old)
	poll(t, at, "")
	publishIDs(t, at, "one", "two")
	had := poll(t, at, "")
	publishIDs(t, at, "three")
	bad(t, "", []string{"store", "copy", "pebble:" + old, "pebble:" + fresh}, "open FROM", "in use")
	stop()
	if out := good(t, "", "store", "copy", "pebble:"+old, "pebble:"+fresh); !strings.Contains(out, "3 messages, 1 devices and 3 ids of 1 users") || !strings.Contains(out, "devices go on at their cursors") {
		t.Errorf("copy: %s", out)
	}
	at, stop = keeping(t, fresh)
	if p := poll(t, at, had.Cursor); !p.Resumed || !slices.Equal(p.ids(), []string{"three"}) {
		t.Errorf("at the copy: %+v", p)
	}
	if out := good(t, "", "publish", "--url", "http://"+at.Backends, "--user", "alice", "--id", "one", "{}"); !strings.Contains(out, "duplicate") {
		t.Errorf("an id that was accepted before: %s", out)
	}
	publishIDs(t, at, "four")
	newer := poll(t, at, had.Cursor)
	if p := poll(t, at, newer.Cursor); !p.Resumed || len(p.ids()) > 0 {
		t.Errorf("after all: %+v", p)
	}
	stop()
	bad(t, "", []string{"store", "copy", "pebble:" + old, "pebble:" + fresh}, "the target has other data", "name an empty one")
	at, stop = keeping(t, old)
	if p := poll(t, at, newer.Cursor); p.Resumed {
		t.Errorf("at the store that was copied: %+v", p)
	}
	stop()
	http.DefaultClient.CloseIdleConnections()
}

func TestStoreCopySaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	bad(t, "", []string{"store", "copy", "pebble:" + dir + "/nothing", "pebble:" + dir + "/b"}, "open FROM", "no such file")
	bad(t, "", []string{"store", "copy", "memory:", "pebble:" + dir + "/b"}, "memory of a process")
	good(t, "", "store", "check", "pebble:"+dir+"/a")
	_, stop := keeping(t, dir+"/a")
	stop()
	var r transfer.Result
	if err := json.Unmarshal([]byte(good(t, "", "store", "copy", "--json", "pebble:"+dir+"/a", "pebble:"+dir+"/b")), &r); err != nil || r.Epoch != 2 || !r.Cursors {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestProgressIsABar(t *testing.T) {
	var c transfer.Count
	if line := progressLine(&c); line != "preparing: 0 users" {
		t.Error(line)
	}
	what := "copying"
	c.Phase.Store(&what)
	c.Users.Store(5)
	c.Of.Store(10)
	if line := progressLine(&c); line != "copying [###############               ] 50%, 5 of 10 users" {
		t.Error(line)
	}
	c.Users.Store(11) // of a store that names one twice
	if line := progressLine(&c); !strings.Contains(line, "100%") {
		t.Error(line)
	}
}
