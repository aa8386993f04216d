package conformance

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are what a runner goes by.
type Options struct {
	Adapter    string        // command of the client's adapter
	Only       []string      // scenarios by name; empty: all
	Transports []string      // empty: all that the adapter has
	Parallel   int           // runs at the same time
	Slack      time.Duration // what a busy machine may add to a time
	Verbose    bool          // tell all that was said in runs that passed, too
}

// Outcome is how one run went.
type Outcome struct {
	Scenario  string
	Transport string
	Rules     []string
	Skipped   string // why it was not played
	Failures  []string
	Lines     []string // all that was said
}

// Result is all of them.
type Result struct {
	Adapter, Version string
	Transports       []string
	Outcomes         []Outcome
}

// Failed counts the runs that failed.
func (r *Result) Failed() int {
	n := 0
	for _, o := range r.Outcomes {
		if len(o.Failures) > 0 {
			n++
		}
	}
	return n
}

// Run plays scenarios to a client, and tells of each that fails as soon as it has.
func Run(ctx context.Context, o Options, out io.Writer) (*Result, error) {
	all, err := Scenarios()
	if err != nil {
		return nil, err
	}
	if all, err = chosen(all, o.Only); err != nil {
		return nil, err
	}
	a, err := startAdapter(ctx, o.Adapter)
	if err != nil {
		return nil, err
	}
	defer a.close()
	res := &Result{Adapter: a.Adapter, Version: a.Version}
	for _, t := range a.hail.Transports {
		if len(o.Transports) == 0 || slices.Contains(o.Transports, t) {
			res.Transports = append(res.Transports, t)
		}
	}
	if len(res.Transports) == 0 {
		return nil, fmt.Errorf("conformance: the adapter has %s, and none of %s", strings.Join(a.hail.Transports, ", "), strings.Join(o.Transports, ", "))
	}
	var (
		mu    sync.Mutex
		runs  sync.WaitGroup
		slots = make(chan struct{}, max(o.Parallel, 1))
	)
	for _, s := range all {
		for _, t := range res.Transports {
			if !plays(s, t, a.hail.Transports) {
				continue
			}
			runs.Add(1)
			slots <- struct{}{}
			go func() {
				defer runs.Done()
				defer func() { <-slots }()
				one := playOne(ctx, o, a, s, t)
				mu.Lock()
				defer mu.Unlock()
				res.Outcomes = append(res.Outcomes, one)
				if len(one.Failures) > 0 || o.Verbose {
					tellOutcome(out, &one)
				}
			}()
		}
	}
	runs.Wait()
	slices.SortFunc(res.Outcomes, func(x, y Outcome) int {
		return strings.Compare(x.Scenario+"\x00"+x.Transport, y.Scenario+"\x00"+y.Transport)
	})
	return res, ctx.Err()
}

func chosen(all []*Scenario, only []string) ([]*Scenario, error) {
	if len(only) == 0 {
		return all, nil
	}
	var some []*Scenario
	for _, name := range only {
		i := slices.IndexFunc(all, func(s *Scenario) bool { return s.Name == name })
		if i < 0 {
			names := make([]string, len(all))
			for k, s := range all {
				names[k] = s.Name
			}
			return nil, fmt.Errorf("conformance: there is no scenario %s: there is %s", name, strings.Join(names, ", "))
		}
		some = append(some, all[i])
	}
	return some, nil
}

// plays reports whether s is played over t. One that names several transports for its client is played once.
func plays(s *Scenario, t string, has []string) bool {
	list := s.Start["transports"]
	if list == "" {
		return slices.Contains(s.Transports, t)
	}
	names := strings.Split(list, ",")
	for _, n := range names {
		if !slices.Contains(has, n) {
			return false
		}
	}
	return t == names[0]
}

// clients counts, so that each has a name of its own.
var clients struct {
	sync.Mutex
	n int
}

func newName(s *Scenario, t string) string {
	clients.Lock()
	defer clients.Unlock()
	clients.n++
	return fmt.Sprintf("%s.%s.%d", s.Name, t, clients.n)
}

// playOne is one run.
func playOne(ctx context.Context, o Options, a *adapter, s *Scenario, t string) Outcome {
	out := Outcome{Scenario: s.Name, Transport: t, Rules: s.Rules}
	for _, n := range s.Needs {
		if !slices.Contains(a.Can, n) {
			out.Skipped = "the client has no " + n
			return out
		}
	}
	if slices.Contains(a.Blind, t) && s.refusesByStatus() {
		out.Skipped = "the platform shows no status of a handshake over " + t
		return out
	}
	if s.Alone {
		own, err := startAdapter(ctx, o.Adapter)
		if err != nil {
			out.Failures = []string{err.Error()}
			return out
		}
		defer own.close()
		a = own
	}
	r, err := newRun(ctx, s, t, o.Slack)
	if err != nil {
		out.Failures = []string{err.Error()}
		return out
	}
	c := &client{run: r, adapter: a, name: newName(s, t)}
	c.play()
	a.on(c.name, nil)
	_ = a.tell(map[string]any{"do": "crash", "client": c.name}) // a client that has failed must not disturb the others
	r.close()
	r.mu.Lock()
	defer r.mu.Unlock()
	out.Failures, out.Lines = r.failures, r.lines
	return out
}

func tellOutcome(w io.Writer, o *Outcome) {
	verdict := "passed"
	if len(o.Failures) > 0 {
		verdict = "FAILED: " + o.Failures[0]
	}
	fmt.Fprintf(w, "%s over %s (%s): %s\n", o.Scenario, o.Transport, strings.Join(o.Rules, ", "), verdict)
	for _, l := range o.Lines {
		fmt.Fprintf(w, "    %s\n", l)
	}
}

// WriteTable writes scenarios against transports.
func (r *Result) WriteTable(w io.Writer) {
	fmt.Fprintf(w, "| %s %s |", r.Adapter, r.Version)
	for _, t := range r.Transports {
		fmt.Fprintf(w, " %s |", t)
	}
	fmt.Fprintf(w, "\n| --- |%s\n", strings.Repeat(" --- |", len(r.Transports)))
	names := make([]string, 0, len(r.Outcomes))
	for _, o := range r.Outcomes {
		names = append(names, o.Scenario)
	}
	for _, name := range slices.Compact(names) {
		fmt.Fprintf(w, "| %s |", name)
		for _, t := range r.Transports {
			fmt.Fprintf(w, " %s |", r.mark(name, t))
		}
		fmt.Fprintln(w)
	}
	passed := 0
	skipped := 0
	for _, o := range r.Outcomes {
		switch {
		case o.Skipped != "":
			skipped++
		case len(o.Failures) == 0:
			passed++
		}
	}
	fmt.Fprintf(w, "\n%d passed, %d failed, %d skipped\n", passed, r.Failed(), skipped)
}

func (r *Result) mark(name, transport string) string {
	for _, o := range r.Outcomes {
		if o.Scenario != name || o.Transport != transport {
			continue
		}
		switch {
		case o.Skipped != "":
			return "–"
		case len(o.Failures) > 0:
			return "**no**"
		}
		return "yes"
	}
	return ""
}

// Serve plays the server's part of one scenario to whoever comes, until ctx ends, and writes what is said.
func Serve(ctx context.Context, name, transport string, out io.Writer) error {
	all, err := Scenarios()
	if err != nil {
		return err
	}
	some, err := chosen(all, []string{name})
	if err != nil {
		return err
	}
	s := *some[0]
	s.Limit = 24 * time.Hour
	r, err := newRun(ctx, &s, transport, 0)
	if err != nil {
		return err
	}
	defer r.close()
	fmt.Fprintf(out, "%s\n%s\nurl %s, grpc %s, user alice, device d\n", s.Name, s.About, r.URL, r.Addr)
	told := 0
	for {
		r.mu.Lock()
		news, lines := r.news, r.lines[told:]
		told = len(r.lines)
		r.mu.Unlock()
		for _, l := range lines {
			fmt.Fprintln(out, l)
		}
		select {
		case <-news:
		case <-time.After(100 * time.Millisecond): // lines come without news, too
		case <-r.ctx.Done():
			return nil
		}
	}
}
