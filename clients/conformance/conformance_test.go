package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// build makes an adapter of a package, with go build.
func build(t *testing.T, pkg string) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "adapter")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, pkg).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return binary
}

// TestGoClient plays all scenarios to the client in Go.
func TestGoClient(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays every scenario in real time, a minute: go test without -short does")
	}
	var out strings.Builder
	res, err := Run(t.Context(), Options{Adapter: build(t, "ramen/clients/go/conformance"), Parallel: 24, Slack: 15 * time.Second}, &out)
	if err != nil {
		t.Fatal(err)
	}
	if res.Failed() > 0 || len(res.Outcomes) < 200 {
		res.WriteTable(&out)
		t.Errorf("%d of %d runs failed\n%s", res.Failed(), len(res.Outcomes), &out)
	}
}

// TestAdaptersOnlyTranslate: what stands in a client's folder conformance, but for folders in it, has at most 150 lines, so that what
// the table says is the client's doing.
func TestAdaptersOnlyTranslate(t *testing.T) {
	files, err := filepath.Glob("../*/conformance/*.*")
	if err != nil {
		t.Fatal(err)
	}
	lines := map[string]int{}
	for _, file := range files {
		if ext := filepath.Ext(file); ext == ".md" || ext == ".json" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines[filepath.Dir(file)] += strings.Count(string(text), "\n")
	}
	if len(lines) < 3 {
		t.Errorf("only %v have an adapter: this test looks in the wrong place", lines)
	}
	for dir, n := range lines {
		if n > 150 {
			t.Errorf("the adapter in %s has %d lines, at most 150 should", dir, n)
		}
	}
}

// TestRulesOfScenariosAreThere: each rule that a scenario names is one of clients/SPEC.md.
func TestRulesOfScenariosAreThere(t *testing.T) {
	all, err := Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	spec := readSpec(t)
	for _, s := range all {
		for _, r := range s.Rules {
			if !strings.Contains(spec, "**"+r+"**") {
				t.Errorf("%s: clients/SPEC.md has no rule %s", s.Name, r)
			}
		}
	}
}

// TestWrongScenarioIsRefused with the line, and with what would be right.
func TestWrongScenarioIsRefused(t *testing.T) {
	const head = "What happens.\nrules C 1.1\n"
	for text, want := range map[string]string{
		"":                                      "first line has to say",
		"What happens.\napp\n  message m1\n":    "names no rules",
		head + "stream\n  hello\n":              "no section app",
		head + "stream\n  greet\napp\n":         "line 4: greet is no step: use one of",
		head + "transports pigeon\n":            "pigeon is no transport: use some of ws-json",
		head + "stream\n  quiet soon\napp\n":    "quiet ends with a time",
		head + "stream pigeon\n  hello\napp\n":  "pigeon is no transport",
		head + "acks often\n":                   "often is no HTTP status",
		head + "wait 3s\n":                      "wait is not known before the first section",
		head + "stream\n  hello\napp\n  sing\n": "sing is no step",
	} {
		if _, err := Parse("x", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
}

// TestAdapterThatSaysNothing is told in time, and what it wrote to its standard error is shown.
func TestAdapterThatSaysNothing(t *testing.T) {
	for command, want := range map[string]string{
		"sh -c 'echo a library is missing >&2'": "a library is missing",
		"sh -c 'echo hello'":                    "the adapter's first line",
		"sh -c 'echo {}'":                       "has no adapter or no transports",
	} {
		if _, err := Run(t.Context(), Options{Adapter: command}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, not %q", command, err, want)
		}
	}
}

// TestUnknownScenario says which there are.
func TestUnknownScenario(t *testing.T) {
	if _, err := Run(t.Context(), Options{Adapter: "true", Only: []string{"earthquake"}}, &strings.Builder{}); err == nil || !strings.Contains(err.Error(), "cut-in-event") {
		t.Error(err)
	}
}
