package mutants

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"strings"
)

//go:embed *.txt
var lists embed.FS

// Mutant is one change of a client.
type Mutant struct {
	Client string // the list's name: go, web, python, java
	Name   string
	Rule   string // of clients/SPEC.md
	File   string // below the client's folder of sources
	Old    string // stands in the file once
	New    string
	Find   []Find
}

// Find is a scenario that should find a mutant.
type Find struct {
	Scenario   string
	Transports []string // empty: all that the client and the scenario have
}

// List reads the mutants of a client.
func List(client string) ([]Mutant, error) {
	b, err := lists.ReadFile(client + ".txt")
	if err != nil {
		return nil, fmt.Errorf("mutants: there is no list for %s: %w", client, err)
	}
	return parse(client, string(b))
}

// parse reads a list.
func parse(client, text string) ([]Mutant, error) {
	var all []Mutant
	var m *Mutant
	var into *string // old or new, while its lines are read
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		var err error
		switch {
		case m == nil && (line == "" || strings.HasPrefix(line, "#")):
		case m == nil:
			name, ok := strings.CutPrefix(line, "mutant ")
			if !ok {
				return nil, fmt.Errorf("mutants: %s.txt, line %d: a block begins with mutant and a name", client, n)
			}
			m, into = &Mutant{Client: client, Name: name}, nil
		case line == "end":
			if err = m.complete(); err == nil {
				all = append(all, *m)
				m = nil
			}
		case line == "old" && into == nil:
			into = &m.Old
		case line == "new" && into == &m.Old:
			into = &m.New
		case into != nil:
			*into += line + "\n"
		default:
			err = m.head(line)
		}
		if err != nil {
			return nil, fmt.Errorf("mutants: %s.txt, line %d: %w", client, n, err)
		}
	}
	if m != nil {
		return nil, fmt.Errorf("mutants: %s.txt: mutant %s has no end", client, m.Name)
	}
	return all, nil
}

func (m *Mutant) head(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "rule":
		m.Rule = rest
	case "file":
		m.File = rest
	case "find":
		scenario, over, _ := strings.Cut(rest, " ")
		f := Find{Scenario: scenario}
		if over != "" {
			f.Transports = strings.Split(over, ",")
		}
		m.Find = append(m.Find, f)
	default:
		return fmt.Errorf("%q is none of rule, file, find, old, new, end", line)
	}
	return nil
}

func (m *Mutant) complete() error {
	if m.Rule == "" || m.File == "" || m.Old == "" || len(m.Find) == 0 {
		return errors.New("a mutant has a rule, a file, an old text, and a scenario that should find it")
	}
	return nil
}

// apply changes the text of the mutant's file.
func (m *Mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.Old); n != 1 {
		return "", fmt.Errorf("mutants: %s, mutant %s: its old text stands in %s %d times, and once is right: the source has changed, so must %s.txt", m.Client, m.Name, m.File, n, m.Client)
	}
	return strings.Replace(text, m.Old, m.New, 1), nil
}
