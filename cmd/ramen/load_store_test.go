package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/redistest"
	"ramen/loadtest"
	"ramen/loadtest/machine"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// TestLoadMeasuresAStore starts a server on the store that is named, and this process stands for the store's own server.
func TestLoadMeasuresAStore(t *testing.T) {
	dir := t.TempDir()
	if machine.InMemory(dir) {
		t.Skip("temporary folders are in memory here, where the load tool does not start a server: an fsync costs nothing; set TMPDIR to a disk's")
	}
	t.Setenv(asMain, "1")
	asJSON := filepath.Join(t.TempDir(), "r.json")
	good(t, "", "load", "push", "--serve", "--dir", dir, "--store", "memory:", "--store-pid", strconv.Itoa(os.Getpid()), "-n", "10", "--rate", "100",
		"--for", "300ms", "--warm", "50ms", "--connects", "-1", "--slack", "20s", "--json", asJSON)
	var r struct {
		report.Report
		Table []report.Line
	}
	text, err := os.ReadFile(asJSON)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range r.Table {
		names = append(names, l.Measure)
	}
	for _, want := range []string{
		"CPU a message, publish to ack, at 100/s to 10 users, WebSocket, on memory",
		"CPU of the store's servers a message, at 100/s to 10 users, WebSocket, on memory",
	} {
		if !strings.Contains(strings.Join(names, "\n"), want+"\n") && !strings.HasSuffix(strings.Join(names, "\n"), want) {
			t.Errorf("there is no row %q in:\n%s", want, strings.Join(names, "\n"))
		}
	}
	if want := "ramen load push --serve --dir " + dir + " --store memory:"; !strings.HasPrefix(r.Sections[0].Command, want) {
		t.Errorf("the command is %s, not %s…", r.Sections[0].Command, want)
	}
	bad(t, "", []string{"load", "push", "--serve", "--dir", dir, "--store", "nowhere://x"}, "nowhere")
	bad(t, "", []string{"load", "push", "--serve", "--dir", dir, "--store", "memory:", "--cache", "nowhere://x"}, "cache")
	bad(t, "", []string{"load", "push", "--store", "memory:"}, "--serve")
}

// TestLoadOnEachKindOfStore: a server is started on it, and every check passes.
func TestLoadOnEachKindOfStore(t *testing.T) {
	dir := t.TempDir()
	if machine.InMemory(dir) {
		t.Skip("temporary folders are in memory here, where the load tool does not start a server: an fsync costs nothing; set TMPDIR to a disk's")
	}
	t.Setenv(asMain, "1")
	run := func(t *testing.T, store string, more ...string) {
		t.Helper()
		args := []string{"load", "push", "--serve", "--dir", dir, "--store", store, "-n", "20", "--rate", "100", "--for", "1s", "--warm", "100ms", "--connects", "-1", "--slack", "30s"}
		if out := good(t, "", append(args, more...)...); !strings.Contains(out, "every check passed") {
			t.Error(out)
		}
	}
	keyspace := func(t *testing.T) string {
		t.Helper()
		c := cassandratest.Shared(t)
		at := c.URL(c.KeyspaceName(t)) + "&replication=1&timeout=2s"
		good(t, "", "store", "init", at)
		return at
	}
	t.Run("pebble", func(t *testing.T) { run(t, "pebble:") })
	t.Run("redis", func(t *testing.T) { run(t, redistest.Shared(t).URL(t)) })
	t.Run("redis-cluster", func(t *testing.T) { run(t, redistest.SharedCluster(t).URL(t)) })
	t.Run("cassandra", func(t *testing.T) { run(t, keyspace(t)) })
	t.Run("tiered", func(t *testing.T) { run(t, keyspace(t), "--cache", redistest.Shared(t).URL(t)) })
}

// TestLoadShowsNoPassword of a store's URL, in the command of a scenario and in that of the run.
func TestLoadShowsNoPassword(t *testing.T) {
	f := loadFlags{cfg: loadtest.Config{Serve: true, Store: "cassandra://ramen:hush@h1:9042,h2/ramen?dc=a", Cache: "redis://:hush@h3/0"}}
	said := f.alone(scenario.Params{Scenario: "push"})
	if strings.Contains(said, "hush") || !strings.Contains(said, "cassandra://ramen:***@h1:9042,h2/ramen?dc=a") || !strings.Contains(said, "redis://:***@h3/0") {
		t.Error(said)
	}
	if baseline := f.alone(scenario.Params{Scenario: "push", Baseline: true}); strings.Contains(baseline, "--store") {
		t.Error(baseline)
	}
	if got, want := withoutPassword("ramen load push --store redis://a:hush@h --key x:y@z --url http://h:80/p"), "ramen load push --store redis://a:***@h --key x:y@z --url http://h:80/p"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}
