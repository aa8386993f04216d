package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportsFollowTheArrows lists what the packages of the module import, tests left out. Each must be of a part, and import what
// its part may; and each part must have a package.
func TestImportsFollowTheArrows(t *testing.T) {
	var paths []string
	for _, p := range packages(t) {
		for _, fault := range faults(p.ImportPath, p.Imports) {
			t.Error(fault)
		}
		paths = append(paths, strings.TrimPrefix(p.ImportPath, module))
	}
	for _, fault := range deadRules(parts, paths) {
		t.Error(fault)
	}
}

// TestDeadRulesAreFound shows that a rule for a package that has gone or was renamed is a fault, and one of those that are is not.
func TestDeadRulesAreFound(t *testing.T) {
	rules := []part{
		{path: "a", may: []string{"b/...", "gone", "b/old/..."}},
		{path: "b/one"},
		{path: "b/...", may: []string{"a"}},
		{path: "b/two"}, // the part before it has all of its packages
		{path: "c"},
	}
	got := strings.Join(deadRules(rules, []string{"a", "b/one", "b/two"}), "\n")
	want := `internal/arrows: a may import gone, which is no package
internal/arrows: a may import b/old/..., which is no package
internal/arrows: b/two is no package, or of a part before it
internal/arrows: c is no package, or of a part before it`
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

// TestArrowsCanFail shows that each kind of forbidden arrow is found, and that those that are declared are not.
func TestArrowsCanFail(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     string // in the fault; empty: there is none
	}{
		{"frontend/route", "gateway", "frontend/route imports gateway"},
		{"gateway", "frontend", "gateway imports frontend"},
		{"protocol", "link", "protocol imports link"},
		{"protocol", "protocol/ramenpb", "protocol imports protocol/ramenpb"},
		{"link", "store", "link imports store"},
		{"store/pebble/journal", "store/pebble", "store/pebble/journal imports store/pebble"},
		{"frontend/stream", "frontend/transport/sse", "frontend/stream imports frontend/transport/sse"},
		{"frontend/accept", "frontend/stream", "frontend/accept imports frontend/stream"},
		{"gateway/mailbox", "link", "gateway/mailbox imports link"},
		{"loadtest/dev", "frontend/ws", "loadtest/dev imports frontend/ws"},
		{"clients/go", "internal/app", "clients/go imports internal/app"},
		{"protocol", "google.golang.org/grpc/codes", "protocol imports google.golang.org/grpc/codes"},
		{"frontend/mystery", "protocol", "frontend/mystery is of no part"},
		{"frontend", "frontend/sock", ""},
		{"loadtest/ledger/judge", "protocol", ""},
	} {
		to := c.to
		if !strings.Contains(to, ".") {
			to = module + to
		}
		got := strings.Join(faults(module+c.from, []string{to}), "\n")
		if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s importing %s: %q, want %q", c.from, c.to, got, c.want)
		}
	}
}

const module = "ramen/"

// faults says which imports of a package its part does not declare, and that it is of no part.
func faults(path string, imports []string) (all []string) {
	path = strings.TrimPrefix(path, module)
	p := partOf(parts, path)
	if p < 0 {
		return []string{path + " is of no part: declare in internal/arrows what it may import"}
	}
	for _, imported := range imports {
		ours, is := strings.CutPrefix(imported, module)
		forbidden := slices.ContainsFunc(parts[p].never, func(pattern string) bool { return matches(pattern, imported) })
		if forbidden || is && !slices.ContainsFunc(parts[p].may, func(pattern string) bool { return matches(pattern, ours) }) {
			all = append(all, path+" imports "+ours+": "+parts[p].why)
		}
	}
	return all
}

// partOf is which of rules a package is of, or -1.
func partOf(rules []part, path string) int {
	return slices.IndexFunc(rules, func(p part) bool { return matches(p.path, path) })
}

// deadRules says which rules are about no package of paths.
func deadRules(rules []part, paths []string) (all []string) {
	used := make([]bool, len(rules))
	for _, path := range paths {
		if i := partOf(rules, path); i >= 0 {
			used[i] = true
		}
	}
	for i, p := range rules {
		if !used[i] {
			all = append(all, "internal/arrows: "+p.path+" is no package, or of a part before it")
		}
		for _, pattern := range p.may {
			if !slices.ContainsFunc(paths, func(path string) bool { return matches(pattern, path) }) {
				all = append(all, "internal/arrows: "+p.path+" may import "+pattern+", which is no package")
			}
		}
	}
	return all
}

// matches reports whether pattern names path: itself or, with /... at its end, it and all below it.
func matches(pattern, path string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return path == root || below && strings.HasPrefix(path, root+"/")
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
