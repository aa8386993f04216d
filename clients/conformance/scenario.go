package conformance

import (
	"bufio"
	"embed"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed scenarios/*.txt
var files embed.FS

// Transports are all that a client may have, as adapters name them.
var Transports = []string{"ws-json", "ws-proto", "sse", "eventsource", "poll", "grpc"}

// defaultLimit is how long a run may take, without the runner's slack.
const defaultLimit = 20 * time.Second

// Scenario is one file.
type Scenario struct {
	Name       string
	About      string            // what happens, and what is right then
	Rules      []string          // of clients/SPEC.md
	Transports []string          // over which it is played
	Needs      []string          // abilities of the adapter's
	Start      map[string]string // settings of the client, as words
	Alone      bool              // in a process of its own
	Limit      time.Duration
	AckAnswers []int // statuses of the first acks by request; afterwards 204
	Streams    []Section
	App        []Step
}

// Section is what the server does on one stream.
type Section struct {
	Kind   string // over which transport it has to be opened; empty: any
	Rest   bool   // it is played on all streams that follow, too
	Serves Step   // its first line
	Steps  []Step
}

// Step is one line: a verb, words, and settings as name=value.
type Step struct {
	Line  int
	Verb  string
	Words []string
	Opts  map[string]string
}

func (s Step) String() string {
	parts := append([]string{s.Verb}, s.Words...)
	names := make([]string, 0, len(s.Opts))
	for name := range s.Opts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		parts = append(parts, name+"="+s.Opts[name])
	}
	return strings.Join(parts, " ")
}

func (s Step) has(word string) bool { return slices.Contains(s.Words, word) }

func (s Step) word(i int) string {
	if i >= 0 && i < len(s.Words) {
		return s.Words[i]
	}
	return ""
}

func (s Step) number(name string, otherwise int) int {
	if n, err := strconv.Atoi(s.Opts[name]); err == nil {
		return n
	}
	return otherwise
}

func (s Step) last() string { return s.word(len(s.Words) - 1) }

// duration is the last word's.
func (s Step) duration() time.Duration {
	d, _ := time.ParseDuration(s.last()) // checked when it was read
	return d
}

// refusesByStatus reports whether the server refuses with a status before a WebSocket is one (SPEC 4.4), which a browser cannot read.
func (s *Scenario) refusesByStatus() bool {
	return slices.ContainsFunc(s.Streams, func(at Section) bool {
		return slices.ContainsFunc(at.Steps, func(step Step) bool { return step.Verb == "refuse" && step.word(0) == "unavailable" })
	})
}

// Scenarios are all files, by name.
func Scenarios() ([]*Scenario, error) {
	entries, err := fs.ReadDir(files, "scenarios")
	if err != nil {
		return nil, err
	}
	all := make([]*Scenario, 0, len(entries))
	for _, e := range entries {
		text, err := fs.ReadFile(files, "scenarios/"+e.Name())
		if err != nil {
			return nil, err
		}
		s, err := Parse(strings.TrimSuffix(e.Name(), ".txt"), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Parse reads one file.
func Parse(name, text string) (*Scenario, error) {
	s := &Scenario{Name: name, Start: map[string]string{}, Limit: defaultLimit, Transports: Transports}
	p := parser{s: s}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := p.line(n, line); err != nil {
			return nil, fmt.Errorf("conformance: scenario %s, line %d: %w", name, n, err)
		}
	}
	switch {
	case s.About == "":
		return nil, fmt.Errorf("conformance: scenario %s: the first line has to say what happens, and what is right then", name)
	case len(s.Rules) == 0:
		return nil, fmt.Errorf("conformance: scenario %s: it names no rules of clients/SPEC.md: add a line as rules C 4.2", name)
	case len(s.App) == 0:
		return nil, fmt.Errorf("conformance: scenario %s: it has no section app", name)
	}
	return s, nil
}

// parser reads lines. Until the first section they are the scenario's head.
type parser struct {
	s     *Scenario
	inApp bool
}

func (p *parser) line(n int, line string) error {
	if p.s.About == "" {
		p.s.About = line
		return nil
	}
	step := split(n, line)
	switch step.Verb {
	case "stream", "streams":
		p.inApp = false
		kind := step.word(0)
		if kind != "" && kind != "ws" && !slices.Contains(Transports, kind) {
			return fmt.Errorf("%s is no transport: use one of %s", kind, strings.Join(Transports, ", "))
		}
		p.s.Streams = append(p.s.Streams, Section{Kind: kind, Rest: step.Verb == "streams", Serves: step})
		return nil
	case "app":
		p.inApp = true
		return nil
	}
	switch {
	case p.inApp:
		if err := check(step, appVerbs); err != nil {
			return err
		}
		p.s.App = append(p.s.App, step)
		return nil
	case len(p.s.Streams) > 0:
		if err := check(step, streamVerbs); err != nil {
			return err
		}
		at := &p.s.Streams[len(p.s.Streams)-1]
		at.Steps = append(at.Steps, step)
		return nil
	}
	return p.head(step, line)
}

func (p *parser) head(step Step, line string) (err error) {
	s := p.s
	switch step.Verb {
	case "rules":
		for _, r := range strings.Split(strings.TrimPrefix(line, "rules"), ",") {
			s.Rules = append(s.Rules, strings.TrimSpace(r))
		}
	case "transports":
		for _, t := range step.Words {
			if !slices.Contains(Transports, t) {
				return fmt.Errorf("%s is no transport: use some of %s", t, strings.Join(Transports, ", "))
			}
		}
		s.Transports = step.Words
	case "needs":
		s.Needs = step.Words
	case "start":
		for name, value := range step.Opts {
			s.Start[name] = value
		}
	case "alone":
		s.Alone = true
	case "limit":
		s.Limit, err = time.ParseDuration(step.word(0))
	case "acks":
		for _, w := range step.Words {
			status, err := strconv.Atoi(w)
			if err != nil {
				return fmt.Errorf("%s is no HTTP status", w)
			}
			s.AckAnswers = append(s.AckAnswers, status)
		}
	default:
		return fmt.Errorf("%s is not known before the first section: use rules, transports, needs, start, alone, limit, acks, or begin a section with stream, streams or app", step.Verb)
	}
	return err
}

func split(n int, line string) Step {
	s := Step{Line: n, Opts: map[string]string{}}
	for i, w := range strings.Fields(line) {
		name, value, isOpt := strings.Cut(w, "=")
		switch {
		case i == 0:
			s.Verb = w
		case isOpt:
			s.Opts[name] = value
		default:
			s.Words = append(s.Words, w)
		}
	}
	return s
}

// check refuses a verb that no step has, and a duration that is none.
func check(s Step, verbs map[string]bool) error {
	timed, known := verbs[s.Verb]
	if !known {
		names := make([]string, 0, len(verbs))
		for name := range verbs {
			names = append(names, name)
		}
		slices.Sort(names)
		return fmt.Errorf("%s is no step: use one of %s", s.Verb, strings.Join(names, ", "))
	}
	if timed {
		if _, err := time.ParseDuration(s.last()); err != nil {
			return fmt.Errorf("%s ends with a time, as 500ms", s.Verb)
		}
	}
	return nil
}
