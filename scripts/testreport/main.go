// Command testreport reads what go test -json writes and tells it shortly: a line a package, all that failed tests wrote,
// and at the end which tests were skipped, and why. The exit status is 1 where something failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	good, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
	}
	if err != nil || !good {
		os.Exit(1)
	}
}

// event is what go test -json writes a line. See go doc test2json.
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// reporter collects what a test has written until it is known whether anybody wants to see it.
type reporter struct {
	out    io.Writer
	wrote  map[string][]string // by package and test
	skips  []string
	failed int // tests, packages and builds
	passed int // tests, subtests included
}

// report reads events until in ends. Lines that are no events are passed on.
func report(in io.Reader, out io.Writer) (good bool, err error) {
	r := &reporter{out: out, wrote: make(map[string][]string)}
	s := bufio.NewScanner(in)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		var e event
		if json.Unmarshal(s.Bytes(), &e) != nil {
			fmt.Fprintln(out, s.Text())
			continue
		}
		r.take(&e)
	}
	r.end()
	return r.failed == 0, s.Err()
}

func (r *reporter) take(e *event) {
	key := e.Package + " " + e.Test
	switch e.Action {
	case "output":
		r.wrote[key] = append(r.wrote[key], e.Output)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "build-fail":
		r.failed++
	case "pass", "skip", "fail":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e, key)
		}
		delete(r.wrote, key)
	}
}

func (r *reporter) endTest(e *event, key string) {
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skips = append(r.skips, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(r.wrote[key])))
	case "fail":
		r.failed++
		fmt.Fprint(r.out, strings.Join(r.wrote[key], ""))
	}
}

// reason is what t.Skip was given: the line between the framing ones.
func reason(wrote []string) string {
	for _, line := range wrote {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			if _, text, ok := strings.Cut(line, ": "); ok { // file:line
				return text
			}
			return line
		}
	}
	return "no reason given"
}

func (r *reporter) endPackage(e *event) {
	switch e.Action {
	case "fail":
		r.failed++
		fmt.Fprint(r.out, strings.Join(r.wrote[e.Package+" "], "")) // panics, races, leaks
		fmt.Fprintf(r.out, "FAIL  %s  %.1fs\n", e.Package, e.Elapsed)
	case "pass":
		fmt.Fprintf(r.out, "ok    %s  %.1fs\n", e.Package, e.Elapsed)
	}
}

func (r *reporter) end() {
	if len(r.skips) > 0 {
		fmt.Fprintf(r.out, "\nskipped:\n")
		for _, s := range r.skips {
			fmt.Fprintln(r.out, "  "+s)
		}
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skips))
}
