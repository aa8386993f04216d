package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"ramen/loadtest/machine"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
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

func TestLoadGoesOnAfterAScenarioThatCannotRun(t *testing.T) {
	for optional, want := range map[string]int{"true": 0, "false": statusFailed} {
		file := filepath.Join(t.TempDir(), "load.yaml")
		if err := os.WriteFile(file, []byte(`scenarios:
  - {scenario: idle, streams: 1, tls: true, optional: `+optional+`}
  - {scenario: push, streams: 5, rate: 50, for: 200ms, warm: 50ms, connects: -1}
`), 0o600); err != nil {
			t.Fatal(err)
		}
		at := serving(t)
		t.Setenv(asMain, "1")
		out, errOut, status := command(t, "", "load", "run", file, "--backends-grpc", at.BackendsGRPC)
		if status != want || !strings.Contains(out, "DID NOT FINISH") || !strings.Contains(out, "every check passed") {
			t.Errorf("optional: %s: status %d: %s%s", optional, status, out, errOut)
		}
	}
}

func TestLoadStartsItsOwnServer(t *testing.T) {
	dir := t.TempDir()
	if machine.InMemory(dir) {
		t.Skip("temporary folders are in memory here, where the load tool does not start a server: an fsync costs nothing; set TMPDIR to a disk's")
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

// TestLoadFollowsAServerThatMovesItsStreams has streams that are asked to move on after a second: each opens its next one
// before the old one ends, over every transport, and nothing is lost or comes twice.
func TestLoadFollowsAServerThatMovesItsStreams(t *testing.T) {
	dir := t.TempDir()
	if machine.InMemory(dir) {
		t.Skip("temporary folders are in memory here, where the load tool does not start a server: an fsync costs nothing; set TMPDIR to a disk's")
	}
	t.Setenv(asMain, "1")
	out := good(t, "", "load", "push", "--serve", "--dir", dir, "-n", "40", "--rate", "400", "--for", "3s", "--warm", "100ms", "--connects", "-1", "--slack", "20s",
		"--transport", "ws=1,ws-json=1,sse=1,grpc=1", "--server-flag=--frontend.max-age=1s", "--server-flag=--frontend.drain-time=500ms")
	if !strings.Contains(out, "every check passed") || !strings.Contains(out, "moved to another stream") {
		t.Error(out)
	}
}

// TestLoadMakesOneTableOfAFile runs scenarios beside their baselines, with what a server of its own may have.
func TestLoadMakesOneTableOfAFile(t *testing.T) {
	dir := t.TempDir()
	if machine.InMemory(dir) {
		t.Skip("temporary folders are in memory here, where the load tool does not start a server: an fsync costs nothing; set TMPDIR to a disk's")
	}
	if runtime.GOOS != "linux" {
		t.Skip("there are no baselines here")
	}
	file, asJSON, page := filepath.Join(dir, "load.yaml"), filepath.Join(dir, "r.json"), filepath.Join(dir, "r.html")
	if err := os.WriteFile(file, []byte(`serve: true
baselines: true
dir: `+dir+`
scenarios:
  - {scenario: push, streams: 20, rate: 100, for: 500ms, warm: 100ms, connects: -1, payload: 1024, deflate: true, slack: 20s}
  - {scenario: push, streams: 20, rate: 100, for: 500ms, warm: 100ms, connects: -1, payload: 16, slack: 20s}
  - {scenario: storm, streams: 20, transport: sse, for: 100ms, auth: true, connects: -1, slack: 20s}
  - {scenario: connect, streams: 10, transport: sse, auth: true, connects: -1, for: 100ms, slack: 20s}
  - {scenario: connect, streams: 10, transport: "ws=1,sse=1", auth: true, tls: true, connects: -1, for: 100ms, slack: 20s, server: [--frontend.heartbeat=5s]}
`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(asMain, "1")
	out := good(t, "", "load", "run", file, "--table", "--json", asJSON, "--html", page)
	for _, want := range []string{
		"| measure | result | baseline | by baseline | budget | met? |", "Every check passed",
		"ramen load push --serve --dir " + dir + " --connects -1 --deflate --for 500ms --payload 1024 --rate 100 --slack 20s --streams 20 --warm 100ms\n",
		"ramen load connect --serve --auth --tls --dir " + dir + " --server-flag=--frontend.heartbeat=5s --connects -1",
		"ramen load storm --serve --dir " + dir + " --baseline --connects -1 --for 100ms",
		"20 streams cut at once and back: until 99 % have a live stream and a message, SSE",
		"bytes that a device reads a message", "token checked, ws=1,sse=1, TLS", "payload 16 B",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("there is no %q in:\n%s", want, out)
		}
	}
	for line := range strings.Lines(out) { // a baseline's figures stand beside the server's
		if cells := strings.Split(line, "|"); (strings.Contains(line, "20 streams cut") || strings.Contains(line, "token checked, SSE")) && strings.TrimSpace(cells[3]) == "" {
			t.Errorf("there is no baseline in %s", line)
		}
	}
	var r struct{ Table []report.Line }
	text, err := os.ReadFile(asJSON)
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || len(r.Table) < 8 {
		t.Errorf("%d lines, %v", len(r.Table), err)
	}
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "<th>baseline</th>") {
		t.Errorf("the page has no table: %v", err)
	}
}

func TestCommandOfAScenarioAsksForTheSame(t *testing.T) {
	for _, name := range scenario.Names() {
		want := scenario.Params{Scenario: name, Streams: 3, Transport: "ws=1,sse=2", Rate: 1.5, Connects: -1, For: 90 * time.Second, Payload: 16, Lanes: "1/8/1", Deflate: true, HalfOpen: 0.25}
		if name == "slow" {
			want.Link.RateKbit = 500
		}
		var f loadFlags
		words := strings.Fields(f.alone(want))
		got := scenario.Params{Scenario: words[2]}
		fl := pflag.NewFlagSet("", pflag.ContinueOnError)
		f.bind(fl)
		bindScenario(fl, &got)
		if name == "slow" {
			bindSlow(fl, &got)
		}
		for i := range words {
			words[i] = strings.Trim(words[i], `"`)
		}
		if err := fl.Parse(words[3:]); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v\n%+v\n%+v", words, err, got, want)
		}
	}
}

// TestLoadFailsWhereAPromiseIsBroken lets a message's own time run out before its device comes back: to the ledger it is lost.
func TestLoadFailsWhereAPromiseIsBroken(t *testing.T) {
	at := serving(t)
	t.Setenv(asMain, "1")
	out, errOut, status := command(t, "", "load", "replay", "-n", "3", "--messages", "2", "--ttl", "1s", "--for", "1200ms", "--wait", "2s", "--backends-grpc", at.BackendsGRPC)
	if status != statusFailed || !strings.Contains(errOut, "violated the contract") {
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
	bad(t, "", []string{"load", "push", "--deflate", "--transport", "sse"}, "deflate", "ws-json")
	bad(t, "", []string{"load", "replay", "--serve", "--baseline"}, "no baseline", "storm")
	bad(t, "", []string{"load", "baseline", "push", "--transport", "grpc"}, "has only SSE")
	bad(t, "", []string{"load", "push", "--baseline"}, "--serve")
	bad(t, "", []string{"load", "push", "--payload", "20", "-n", "1", "--connects", "-1"}, "payload", "16")
	bad(t, "", []string{"load", "push", "-n", "3", "--devices", "2"}, "multiple")
	bad(t, "", []string{"load", "push", "-n", "1", "--connects", "-1", "--url", "http://127.0.0.1:1", "--wait", "1s"}, "0 of 1", "refused")
}
