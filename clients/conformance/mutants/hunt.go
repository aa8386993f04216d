package mutants

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ramen/clients/conformance"
)

// slack is what a busy machine may add to the times of a scenario. It is short, so that what comes too late is seen.
const slack = 2 * time.Second

// Result is how the hunt for one mutant went.
type Result struct {
	Mutant
	Found string // by which scenario, over which transport, and what it said; empty: by none
}

// Hunter builds mutants of one client and has the suite find them.
type Hunter struct {
	name     string
	client   client
	clients  string // folder
	Parallel int    // runs of scenarios at the same time
}

// NewHunter answers, in words, what the machine lacks for it.
func NewHunter(name string) (h *Hunter, missing string, err error) {
	c, ok := clients[name]
	if !ok {
		return nil, "", fmt.Errorf("mutants: there is no client %s", name)
	}
	folder, err := root()
	if err != nil {
		return nil, "", err
	}
	return &Hunter{name: name, client: c, clients: folder, Parallel: 12}, c.missing(folder), nil
}

// changed is the text of the mutant's file.
func (h *Hunter) changed(m *Mutant) (string, error) {
	b, err := os.ReadFile(filepath.Join(h.clients, h.client.sources, m.File))
	if err != nil {
		return "", fmt.Errorf("mutants: %s, mutant %s: %w", m.Client, m.Name, err)
	}
	return m.apply(string(b))
}

// Sound demands that the client as it is passes all that is to find these mutants.
func (h *Hunter) Sound(ctx context.Context, all []Mutant) error {
	return h.in(func(folder string) error {
		adapter, err := h.client.build(ctx, h.clients, folder, "", "")
		if err != nil {
			return err
		}
		only := map[string]bool{}
		for _, m := range all {
			for _, f := range m.Find {
				only[f.Scenario] = true
			}
		}
		o := conformance.Options{Adapter: adapter, Parallel: h.Parallel, Slack: 5 * slack}
		for name := range only {
			o.Only = append(o.Only, name)
		}
		slices.Sort(o.Only)
		var out strings.Builder
		res, err := conformance.Run(ctx, o, &out)
		if err == nil && res.Failed() > 0 {
			err = fmt.Errorf("mutants: %s: %d runs fail with the client as it is\n%s", h.name, res.Failed(), &out)
		}
		return err
	})
}

// Hunt builds a mutant and plays to it what should find it.
func (h *Hunter) Hunt(ctx context.Context, m *Mutant) (Result, error) {
	found := Result{Mutant: *m}
	text, err := h.changed(m)
	if err != nil {
		return found, err
	}
	err = h.in(func(folder string) error {
		adapter, err := h.client.build(ctx, h.clients, folder, m.File, text)
		if err != nil {
			return fmt.Errorf("mutants: %s, mutant %s is no client: %w", m.Client, m.Name, err)
		}
		if err := h.works(ctx, adapter, m); err != nil {
			return err
		}
		for _, f := range m.Find {
			res, err := conformance.Run(ctx, conformance.Options{Adapter: adapter, Only: []string{f.Scenario}, Transports: f.Transports, Parallel: h.Parallel, Slack: slack}, &strings.Builder{})
			if err != nil {
				return err
			}
			if found.Found = firstFailure(res); found.Found != "" {
				return nil
			}
		}
		return nil
	})
	return found, err
}

// works demands that the mutant passes plain over one transport at least, unless plain is to find it.
func (h *Hunter) works(ctx context.Context, adapter string, m *Mutant) error {
	if slices.ContainsFunc(m.Find, func(f Find) bool { return f.Scenario == "plain" }) {
		return nil
	}
	var out strings.Builder
	res, err := conformance.Run(ctx, conformance.Options{Adapter: adapter, Only: []string{"plain"}, Parallel: h.Parallel, Slack: 5 * slack}, &out)
	if err != nil {
		return fmt.Errorf("mutants: %s, mutant %s is no client: %w", m.Client, m.Name, err)
	}
	if res.Failed() == len(res.Outcomes) {
		return fmt.Errorf("mutants: %s, mutant %s breaks more than %s: it does not pass plain\n%s", m.Client, m.Name, m.Rule, &out)
	}
	return nil
}

func firstFailure(res *conformance.Result) string {
	for _, o := range res.Outcomes {
		if len(o.Failures) > 0 {
			return fmt.Sprintf("%s over %s: %s", o.Scenario, o.Transport, o.Failures[0])
		}
	}
	return ""
}

// in does something in a folder that is removed afterwards.
func (h *Hunter) in(do func(folder string) error) error {
	folder, err := os.MkdirTemp("", "mutant-")
	if err != nil {
		return fmt.Errorf("mutants: %w", err)
	}
	defer os.RemoveAll(folder)
	return do(folder)
}
