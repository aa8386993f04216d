package mutants

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"ramen/clients/conformance"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// least is how many there are to be of a client.
const least = 15

// ofShort is how many of each client are hunted unless RAMEN_MUTANTS asks for all.
const ofShort = 3

var names = []string{"go", "web", "python", "java"}

// TestListsFit: each mutant's old text stands in the sources, once; its rule is in clients/SPEC.md, its scenarios are there, and no two
// have one name.
func TestListsFit(t *testing.T) {
	folder, err := root()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := os.ReadFile(filepath.Join(folder, "SPEC.md"))
	if err != nil {
		t.Fatal(err)
	}
	scenarios, err := conformance.Scenarios()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, s := range scenarios {
		there[s.Name] = true
	}
	for _, name := range names {
		all := list(t, name)
		if len(all) < least {
			t.Errorf("%s: %d mutants, and %d are the least", name, len(all), least)
		}
		h, _, err := NewHunter(name)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, m := range all {
			if _, err := h.changed(&m); err != nil {
				t.Error(err)
			}
			if seen[m.Name] {
				t.Errorf("%s: mutant %s stands twice", name, m.Name)
			}
			seen[m.Name] = true
			if !strings.Contains(string(spec), "**"+m.Rule+"**") {
				t.Errorf("%s, mutant %s: clients/SPEC.md has no rule %s", name, m.Name, m.Rule)
			}
			for _, f := range m.Find {
				if !there[f.Scenario] {
					t.Errorf("%s, mutant %s: there is no scenario %s", name, m.Name, f.Scenario)
				}
			}
		}
	}
}

// TestSuiteFindsMutants: of each client, all with RAMEN_MUTANTS=all, those whose names stand there, behind commas, and by default the first
// few.
func TestSuiteFindsMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("it plays scenarios in real time: go test without -short does")
	}
	which := os.Getenv("RAMEN_MUTANTS")
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			h, missing, err := NewHunter(name)
			if err != nil {
				t.Fatal(err)
			}
			if missing != "" {
				t.Skip(missing)
			}
			all := chosen(list(t, name), which)
			if err := h.Sound(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			for _, m := range all {
				t.Run(m.Name, func(t *testing.T) {
					t.Parallel()
					found, err := h.Hunt(t.Context(), &m)
					switch {
					case err != nil:
						t.Fatal(err)
					case found.Found == "":
						t.Errorf("no scenario finds it, although it breaks %s", m.Rule)
					default:
						t.Logf("%s is broken, and found by %s", m.Rule, found.Found)
					}
				})
			}
		})
	}
}

func chosen(all []Mutant, which string) []Mutant {
	switch which {
	case "all":
		return all
	case "":
		return all[:min(ofShort, len(all))]
	}
	var some []Mutant
	for _, m := range all {
		if slices.Contains(strings.Split(which, ","), m.Name) {
			some = append(some, m)
		}
	}
	return some
}

func list(t *testing.T, name string) []Mutant {
	t.Helper()
	all, err := List(name)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMutantWhoseTextIsGone is a failure, as is one whose text stands twice.
func TestMutantWhoseTextIsGone(t *testing.T) {
	m := Mutant{Client: "go", Name: "x", File: "f.go", Old: "a\n", New: "b\n"}
	for text, want := range map[string]string{"c\n": "0 times", "a\na\n": "2 times"} {
		if _, err := m.apply(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if got, err := m.apply("a\nc\n"); err != nil || got != "b\nc\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWrongListIsRefused with the line.
func TestWrongListIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"mutation x\n": "line 1: a block begins with mutant",
		"mutant x\n":   "has no end",
		"mutant x\nrule C 1.1\nfile f\nfind s\nend\n":                     "an old text",
		"mutant x\nbreaks C 1.1\n":                                        "is none of rule",
		"mutant x\nrule C 1.1\nfile f\nold\na\nnew\nend\n# a comment\n\n": "a scenario that should find it",
	} {
		if _, err := parse("go", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
}
