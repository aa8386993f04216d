package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ramen/internal/app"
	"ramen/internal/testapp"
)

// keeping starts the product on a store in data, until stop is called.
func keeping(t *testing.T, data string) (at app.Addresses, stop func()) {
	t.Helper()
	cfg := testapp.Config(t)
	cfg.Data = data
	testapp.SetStore(t, &cfg, "pebble:")
	cfg.Store.Pebble.MemTableBytes = 256 << 10
	r := testapp.Start(t, cfg)
	return r.At, func() { r.End(t) }
}

// polled is the answer to a poll.
type polled struct {
	Resumed  bool   `json:"resumed"`
	Cursor   string `json:"cursor"`
	Messages []struct {
		ID string `json:"id"`
	} `json:"messages"`
}

func (p *polled) ids() (ids []string) {
	for _, m := range p.Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

func poll(t *testing.T, at app.Addresses, cursor string) (p polled) {
	t.Helper()
	q := url.Values{"user": {"alice"}, "device": {"phone"}, "wait": {"0"}}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	r, err := http.Get("http://" + at.Devices + "/ramen/poll?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("poll: status %d, %v", r.StatusCode, err)
	}
	http.DefaultClient.CloseIdleConnections()
	return p
}

func publishIDs(t *testing.T, at app.Addresses, ids ...string) {
	t.Helper()
	for _, id := range ids {
		good(t, "", "publish", "--url", "http://"+at.Backends, "--user", "alice", "--id", id, "{}")
	}
}

// TestFix07DeviceMissesNothingOfARestoredBackup: the device has cursors of pushes that the backup does not know, of epochs and
// positions that the restored store gives again. It is not resumed, and gets all that waits.
func TestFix07DeviceMissesNothingOfARestoredBackup(t *testing.T) {
	data, backup := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "backup")
	at, stop := keeping(t, data)
	poll(t, at, "")
	publishIDs(t, at, "before-1", "before-2")
	if out := good(t, "", "store", "backup", "--data", data, backup); !strings.Contains(out, "from the running server") {
		t.Errorf("backup: %s", out)
	}
	if out := good(t, "", "store", "verify", backup); !strings.Contains(out, "backup in "+backup+" is good: 2 messages wait") {
		t.Errorf("verify: %s", out)
	}
	stop()
	var newest polled
	for _, id := range []string{"since-1", "since-2", "since-3"} { // an epoch each
		at, stop = keeping(t, data)
		publishIDs(t, at, id)
		newest = poll(t, at, newest.Cursor)
		stop()
	}
	again := filepath.Join(t.TempDir(), "again")
	if err := os.CopyFS(again, os.DirFS(backup)); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"new-1", "new-2", "new-3", "new-4"} {
		at, stop = keeping(t, again)
		publishIDs(t, at, id)
		if id != "new-4" {
			stop()
		}
	}
	defer stop()
	p := poll(t, at, newest.Cursor)
	for _, id := range []string{"before-1", "before-2", "new-1", "new-2", "new-3", "new-4"} {
		if !slices.Contains(p.ids(), id) {
			t.Errorf("%s did not come to the device; it got %v", id, p.ids())
		}
	}
	if p.Resumed {
		t.Error("a cursor of the store as it was is resumed")
	}
	publishIDs(t, at, "new-5")
	if p = poll(t, at, p.Cursor); !p.Resumed || !slices.Equal(p.ids(), []string{"new-5"}) {
		t.Errorf("the next poll: %+v", p)
	}
}

// TestFix07StoreCommandsSayWhatIsWrong, and end with status 1.
func TestFix07StoreCommandsSayWhatIsWrong(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	at, stop := keeping(t, data)
	publishIDs(t, at, "one")
	bad(t, "", []string{"store", "verify", data}, "in use", "ramen store backup")
	bad(t, "", []string{"store", "backup", "--data", data, data}, "inside the store's directory")
	stop()
	backup := filepath.Join(t.TempDir(), "backup")
	if out := good(t, "", "store", "backup", "--data", data, backup); !strings.Contains(out, "from the stopped directory") {
		t.Errorf("backup: %s", out)
	}
	good(t, "", "store", "verify", data)
	markers, err := filepath.Glob(filepath.Join(data, "marker.*"))
	if err != nil || len(markers) != 2 {
		t.Fatal(markers, err)
	}
	for _, path := range markers {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	bad(t, "", []string{"store", "verify", data}, "marker.manifest.*", "ramen store verify --repair "+data)
	if out := good(t, "", "store", "verify", "--repair", data); !strings.Contains(out, "restored marker.manifest.") || !strings.Contains(out, "1 messages wait") {
		t.Errorf("repair: %s", out)
	}
	bad(t, "", []string{"store", "verify", t.TempDir()}, "it has no store")
	bad(t, "", []string{"store", "verify", "--repair", backup}, "it is a backup")
}
