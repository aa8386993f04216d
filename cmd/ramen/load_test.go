package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ramen/loadtest/host"
	"ramen/loadtest/report"
)

// load runs ramen load against a server of this process, with workers of their own.
func load(t *testing.T, args ...string) string {
	t.Helper()
	at := serving(t)
	t.Setenv(asMain, "1")
	return good(t, "", append([]string{"load"}, append(args, "--backends-grpc", at.BackendsGRPC)...)...)
}

func TestLoadOverEveryTransportInTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	asJSON, page := filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	out := load(t, "push", "-n", "40", "--devices", "2", "--rate", "400", "--for", "1s", "--warm", "100ms", "--lanes", "1/2/1", "--processes", "2",
		"--transport", "ws=1,ws-json=1,sse=1,grpc=1,poll=1", "--json", asJSON, "--html", page)
	if !strings.Contains(out, "every check passed") {
		t.Error(out)
	}
	text, err := os.ReadFile(asJSON)
	if err != nil {
		t.Fatal(err)
	}
	var r report.Report
	if err := json.Unmarshal(text, &r); err != nil || len(r.Sections) != 1 {
		t.Fatalf("%v: %s", err, text)
	}
	for _, row := range r.Sections[0].Rows {
		if want := map[string]float64{"accepted": 400, "pushed": 800}[row.Name]; want > 0 && row.Value != want {
			t.Errorf("%s is %v, not %v", row.Name, row.Value, want)
		}
	}
	if _, err := os.Stat(page); err != nil {
		t.Error(err)
	}
}

func TestLoadRunsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "load.yaml")
	if err := os.WriteFile(file, []byte(`scenarios:
  - {scenario: replay, streams: 20, messages: 5, transport: "ws=1,sse=1"}
  - {scenario: churn, streams: 40, rate: 200, for: 2s, life: 500ms, away: 100ms, connects: -1}
  - {scenario: storm, streams: 50, connects: -1, for: 100ms}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := load(t, "run", file)
	if strings.Count(out, "every check passed") != 3 {
		t.Error(out)
	}
}

func TestLoadStartsItsOwnServer(t *testing.T) {
	dir := t.TempDir()
	if host.InMemory(dir) {
		t.Skip("temporary folders are in memory here")
	}
	t.Setenv(asMain, "1")
	out := good(t, "", "load", "max", "--serve", "--auth", "--dir", dir, "-n", "20", "--rate", "50", "--for", "200ms", "--warm", "100ms", "--p99", "1ns", "--connects", "-1")
	if !strings.Contains(out, "every check passed") || !strings.Contains(out, "failed") {
		t.Error(out)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// TestLoadFailsWhereAPromiseIsBroken lets a message's own time run out before its device comes back: to the ledger it is lost.
func TestLoadFailsWhereAPromiseIsBroken(t *testing.T) {
	at := serving(t)
	t.Setenv(asMain, "1")
	out, errOut, status := command(t, "", "load", "replay", "-n", "3", "--messages", "2", "--ttl", "1s", "--for", "1200ms", "--wait", "200ms", "--backends-grpc", at.BackendsGRPC)
	if status != statusFailed || !strings.Contains(errOut, "did not keep its promises") {
		t.Errorf("status %d: %s", status, errOut)
	}
	for _, want := range []string{"VIOLATED lost: 6 times", "device d0", "it was accepted, and never came"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q, but:\n%s", want, out)
		}
	}
}

func TestLoadNamesMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "load.yaml")
	if err := os.WriteFile(file, []byte("scenarios:\n  - {scenario: idle, stream: 5}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(asMain, "1")
	bad(t, "", []string{"load", "run", file}, "stream", "line 2")
	bad(t, "", []string{"load", "push", "--transport", "mqtt"}, "mqtt", "ws-proto")
	bad(t, "", []string{"load", "push", "--lanes", "1"}, "1/8/1")
	bad(t, "", []string{"load", "push", "-n", "3", "--devices", "2"}, "multiple")
	bad(t, "", []string{"load", "push", "-n", "1", "--connects", "-1", "--url", "http://127.0.0.1:1", "--wait", "1s"}, "0 of 1", "refused")
}
