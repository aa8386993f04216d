package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ramen/internal/testserver/redistest"
	"ramen/store/driver"
)

// TestStoreCheckSaysWhatThereIs, and ends with status 1 where something is wrong.
func TestStoreCheckSaysWhatThereIs(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	url := "pebble:" + data
	out := good(t, "", "store", "check", url)
	for _, want := range []string{"store       " + url, "server      " + data + "  embedded store", "durability  An accepted message is on this machine's disk", "nothing is wrong"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q, but\n%s", want, out)
		}
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("it has made the folder")
	}
	_, stop := keeping(t, data)
	var r checked
	if err := json.Unmarshal([]byte(good(t, "", "store", "check", "--json", url)), &r); err != nil || !r.InUse || !r.Good || r.Store.String() != url || len(r.Servers) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	stop()
	t.Setenv("RAMEN_SHARDS", "7")
	out, errOut, status := command(t, "", "store", "check", url)
	if status != 1 || !strings.Contains(out, "problem     store/pebble: open "+data+": its users are stored in 1024 shards") || !strings.Contains(errOut, "1 problems") {
		t.Errorf("with another number of shards: exit status %d, %s%s", status, out, errOut)
	}
	bad(t, "", []string{"store", "check", "reddis://h"}, `"reddis"`, "pebble:")
	bad(t, "", []string{"store", "check", "nothing"}, "no scheme")
}

// TestCheckedStoresNameTheirServers: those that were reached, and those that were not.
func TestCheckedStoresNameTheirServers(t *testing.T) {
	u, err := driver.ParseURL("redis+cluster://a,b")
	if err != nil {
		t.Fatal(err)
	}
	c := newChecked(u, driver.Report{
		Servers:  []driver.Server{{Address: "a:6379", Version: "redis 7.0.15", Role: "master"}, {Address: "b:6379", Err: os.ErrDeadlineExceeded}},
		Problems: []string{"appendonly is no; it must be yes"}, Durability: "nothing",
	}, nil)
	var b strings.Builder
	if err := c.write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"server      a:6379  redis 7.0.15 master\n", "server      b:6379  not reached: i/o timeout\n", "problem     appendonly is no; it must be yes\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("it does not say %q, but\n%s", want, b.String())
		}
	}
	if err := c.verdict(); err == nil || strings.Contains(b.String(), "nothing is wrong") || !strings.Contains(err.Error(), "1 problems, 1 servers not reached") {
		t.Error(err)
	}
}

func TestStoresThatNeedNoPreparationSaySo(t *testing.T) {
	for _, url := range []string{"memory:", "pebble:" + t.TempDir()} {
		if out := good(t, "", "store", "init", url); !strings.Contains(out, url+" needs no preparation") {
			t.Errorf("init: %s", out)
		}
		if out, errOut, status := command(t, "", "store", "schema", url); status != 0 || out != "" || !strings.Contains(errOut, "needs no preparation") {
			t.Errorf("schema: status %d, %q, %q", status, out, errOut)
		}
		if out := good(t, "", "store", "init", "--json", url); !strings.Contains(out, `"done": []`) {
			t.Errorf("init: %s", out)
		}
	}
}

// The password of these tests, and a store that is configured with it. No server is there.
const (
	hush     = "hunter2"
	withHush = "memory://me:" + hush + "@h"
)

// TestPasswordsOfStoresAreNotTold, by no command, on neither output, whatever goes wrong.
func TestPasswordsOfStoresAreNotTold(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "ramen.yaml"), "dev: true\ndata: "+dir+"/data\nstore: {url: '"+withHush+"'}\n"+anyPorts)
	value := write(t, filepath.Join(dir, "value.yaml"), "dev: true\nstore: {url: 'memory:', password: "+hush+"}\n"+anyPorts)
	torn := write(t, filepath.Join(dir, "torn.yaml"), "dev: true\nstore: {url: 'memory://me:"+hush+"%@h', kind: memory}\n")
	section := write(t, filepath.Join(dir, "section.yaml"), "dev: true\nstore: '"+withHush+"'\n")
	twice := write(t, filepath.Join(dir, "twice.yaml"), "dev: true\nstore: {url: '"+withHush+"', password: "+hush+", kind: pebble}\n")
	for name, args := range map[string][]string{
		"effective":            {"config", "--effective", "--config", file},
		"effective value":      {"config", "--effective", "--config", value},
		"check":                {"config", "--check", file},
		"check torn":           {"config", "--check", torn},
		"check section":        {"config", "--check", section},
		"check twice":          {"config", "--check", twice},
		"serve":                {"serve", "--config", file, "--log.level", "debug"},
		"serve value":          {"serve", "--config", value},
		"serve flag":           {"serve", "--dev", "--store", withHush},
		"serve torn flag":      {"serve", "--dev", "--store", "memory://me:" + hush + "%@h"},
		"serve torn long flag": {"serve", "--dev", "--store.url", hush},
		"serve cache":          {"serve", "--dev", "--cache", withHush},
		"serve scheme":         {"serve", "--dev", "--store", "reddis://me:" + hush + "@h"},
		"store check":          {"store", "check", withHush},
		"store check torn":     {"store", "check", "redis://me:" + hush + "/x@h"},
		"store check param":    {"store", "check", "memory://h?password=" + hush},
		"store check config":   {"store", "check", "--json", "--config", file},
		"store init":           {"store", "init", withHush},
		"store schema":         {"store", "schema", withHush},
		"store copy":           {"store", "copy", withHush, "pebble:" + dir + "/copy"},
		"store copy torn":      {"store", "copy", "pebble:" + dir, "redis://me:" + hush + "%@h"},
		"check redis":          {"store", "check", "redis://me:" + hush + "@127.0.0.1:1/0"},
		"check cassandra":      {"store", "check", "cassandra://me:" + hush + "@127.0.0.1:1/k?dc=d"},
		"schema cassandra":     {"store", "schema", "cassandra://me:" + hush + "@127.0.0.1:1/k?dc=d"},
		"init cassandra":       {"store", "init", "cassandra://me:" + hush + "@127.0.0.1:1/k?dc=d", "--timeout", "2s"},
		"serve redis":          {"serve", "--dev", "--store", "redis://me:" + hush + "@127.0.0.1:1/0", "--log.level", "debug"},
		"serve sentinel":       {"serve", "--dev", "--store", "redis+sentinel://me:" + hush + "@127.0.0.1:1/m", "--log.level", "debug"},
		"serve cluster":        {"serve", "--dev", "--store", "redis+cluster://me:" + hush + "@127.0.0.1:1", "--log.level", "debug"},
		"serve cassandra":      {"serve", "--dev", "--store", "cassandra://me:" + hush + "@127.0.0.1:1/k?dc=d", "--log.level", "debug"},
		"store backup":         {"store", "backup", "--config", file, filepath.Join(dir, "b")},
	} {
		out, errOut, _ := command(t, "", args...)
		if out+errOut == "" || strings.Contains(out+errOut, hush) {
			t.Errorf("%s tells:\n%s%s", name, out, errOut)
		}
	}
	for _, name := range []string{"RAMEN_STORE_PASSWORD=" + hush, "RAMEN_STORE_URL=" + withHush, "RAMEN_STORE_CACHE=" + withHush, "RAMEN_STORE_CACHE_PASSWORD=" + hush,
		"RAMEN_STORE=" + withHush, "RAMEN_STORE_URLS=" + withHush, "RAMEN_STORE_KIND=memory"} {
		t.Run(name[:12], func(t *testing.T) {
			key, text, _ := strings.Cut(name, "=")
			t.Setenv(key, text)
			for _, args := range [][]string{{"config", "--effective"}, {"config", "--markdown"}, {"serve", "--dev", "--store.kind", "disk"}, {"store", "check"}} {
				if out, errOut, _ := command(t, "", args...); strings.Contains(out+errOut, hush) {
					t.Errorf("with %s, %v tells:\n%s%s", key, args, out, errOut)
				}
			}
		})
	}
}

// TestStoreCheckLooksAtTheCache of the configuration, too, and ends with status 1 where it is not reached.
func TestStoreCheckLooksAtTheCache(t *testing.T) {
	s := redistest.Single(t, redistest.Options{Config: redistest.Config{"maxmemory-policy": "allkeys-lru"}}) // as a cache may
	t.Setenv("RAMEN_STORE_URL", "cassandra://127.0.0.1:1/ramen?dc=none")                                     // is not there
	t.Setenv("RAMEN_STORE_CACHE", s.URL())
	check := func() (r checked) {
		t.Helper()
		out, errOut, status := command(t, "", "store", "check", "--json", "--timeout", "2s")
		if err := json.Unmarshal([]byte(out), &r); err != nil || status != 1 || r.Good || r.Cache == nil {
			t.Fatalf("exit status %d, %v: %s%s", status, err, out, errOut)
		}
		return r
	}
	if c := check().Cache; !c.Good || len(c.Servers) != 1 || c.Servers[0].Role != "master" || !strings.Contains(c.Durability, "cache") {
		t.Errorf("cache %+v", c)
	}
	out, _, _ := command(t, "", "store", "check", "--timeout", "2s")
	if !strings.Contains(out, "\ncache       redis://") {
		t.Errorf("it does not name the cache, but\n%s", out)
	}
	s.Stop(t)
	if c := check().Cache; c.Good {
		t.Errorf("a cache that is not there: %+v", c)
	}
	out, _, _ = command(t, "", "store", "check", "--timeout", "2s", "pebble:"+t.TempDir())
	if strings.Contains(out, "cache") {
		t.Errorf("it looks at the configuration's cache beside another store:\n%s", out)
	}
}
