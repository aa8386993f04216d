package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ramen/store/driver"
)

func storeCheckCommand() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "check [URL]",
		Short: "Say what is reached of a store, its versions, and what it keeps when what fails.",
		Long: "Look at the store of URL, or without one at the configuration's, and at its cache: which servers are reached, their versions and roles, what an\n" +
			"accepted message survives with their settings, and what is wrong. Nothing is changed. If something is wrong, or a server is not\n" +
			"reached, the exit status is 1.",
		Example: "  ramen store check --config ramen.yaml\n  ramen store check redis://127.0.0.1:6379/0",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, params, err := f.place(c, args)
			if err != nil {
				return err
			}
			ctx, cancel := f.within(c)
			defer cancel()
			r, err := p.Check(ctx, params)
			checked := newChecked(p.URL, r, err)
			if len(args) == 0 {
				if checked.Cache, err = f.checkCache(ctx, params); err != nil {
					return err
				}
			}
			if f.json {
				err = writeJSON(c.OutOrStdout(), checked)
			} else {
				err = checked.write(c.OutOrStdout())
			}
			return errors.Join(err, checked.verdict())
		},
	}
	f.bind(c, 10*time.Second)
	return c
}

// checkCache looks at the cache of the configuration; nil: there is none.
func (f *storeFlags) checkCache(ctx context.Context, base driver.Params) (*checked, error) {
	cfg, err := loadStoreConfig(f.config)
	if err != nil || cfg.Store.Cache.IsZero() {
		return nil, err
	}
	p, err := cfg.Store.CachePlace()
	if err != nil {
		return nil, err
	}
	params := p.Params(base)
	params.Cache = true
	r, err := p.Check(ctx, params)
	c := newChecked(p.URL, r, err)
	return &c, nil
}

// checked is a report as it is written.
type checked struct {
	Store      driver.URL      `json:"store"`
	Good       bool            `json:"good"`
	Servers    []checkedServer `json:"servers,omitempty"`
	Durability string          `json:"durability,omitempty"`
	InUse      bool            `json:"in_use"`
	Problems   []string        `json:"problems,omitempty"`
	Cache      *checked        `json:"cache,omitempty"`
}

type checkedServer struct {
	Address string `json:"address"`
	Version string `json:"version,omitempty"`
	Role    string `json:"role,omitempty"`
	Error   string `json:"error,omitempty"`
}

func newChecked(u driver.URL, r driver.Report, err error) checked {
	c := checked{Store: u, Durability: r.Durability, InUse: r.InUse, Problems: r.Problems, Good: err == nil && len(r.Problems) == 0}
	for _, s := range r.Servers {
		server := checkedServer{Address: s.Address, Version: s.Version, Role: s.Role}
		if s.Err != nil {
			server.Error, c.Good = s.Err.Error(), false
		}
		c.Servers = append(c.Servers, server)
	}
	if err != nil {
		c.Problems = append([]string{err.Error()}, c.Problems...)
	}
	return c
}

func (c *checked) write(out io.Writer) error {
	if err := c.writeAs("store", out); err != nil || c.Cache == nil {
		return err
	}
	return c.Cache.writeAs("cache", out)
}

func (c *checked) writeAs(what string, out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%-11s %s\n", what, c.Store)
	for _, s := range c.Servers {
		line := strings.Join(strings.Fields(s.Version+" "+s.Role), " ")
		if s.Error != "" {
			line = strings.TrimSpace(line + " not reached: " + s.Error)
		}
		fmt.Fprintf(&b, "server      %s  %s\n", s.Address, line)
	}
	if c.Durability != "" {
		fmt.Fprintf(&b, "durability  %s\n", c.Durability)
	}
	if c.InUse {
		fmt.Fprintln(&b, "in use      a process serves from it now")
	}
	for _, p := range c.Problems {
		fmt.Fprintf(&b, "problem     %s\n", p)
	}
	if c.Good {
		fmt.Fprintln(&b, "good        nothing is wrong")
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// verdict is the command's error.
func (c *checked) verdict() error {
	err := c.verdictAs("store")
	if c.Cache != nil {
		err = errors.Join(err, c.Cache.verdictAs("cache"))
	}
	return err
}

func (c *checked) verdictAs(what string) error {
	if c.Good {
		return nil
	}
	unreached := 0
	for _, s := range c.Servers {
		if s.Error != "" {
			unreached++
		}
	}
	return fmt.Errorf("the %s %s is not as it should be: %d problems, %d servers not reached", what, c.Store, len(c.Problems), unreached)
}

func storeSchemaCommand() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:     "schema [URL]",
		Short:   "Print what store init would create, in the store's own language.",
		Long:    "Print what store init would create for the store of URL, or without one for the configuration's. Nobody is asked.",
		Example: "  ramen store schema 'cassandra://10.0.0.1/ramen?dc=east'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, params, err := f.place(c, args)
			if err != nil {
				return err
			}
			text := ""
			if p.Schema != nil {
				if text, err = p.Schema(params); err != nil {
					return err
				}
			}
			switch {
			case f.json:
				return writeJSON(c.OutOrStdout(), map[string]any{"store": p.URL, "schema": text})
			case p.Schema == nil:
				return needsNothing(c.ErrOrStderr(), p.URL)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.TrimRight(text, "\n"))
			return err
		},
	}
	f.bind(c, 10*time.Second)
	return c
}

func storeInitCommand() *cobra.Command {
	var f storeFlags
	c := &cobra.Command{
		Use:   "init [URL]",
		Short: "Create what a store needs, or bring what an older version created up to date.",
		Long: "Create what the store of URL, or without one the configuration's, needs before a server can use it, or bring what an older version\n" +
			"created up to date, and say what was done. Doing it again is fine.",
		Example: "  ramen store init 'cassandra://10.0.0.1/ramen?dc=east'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			p, params, err := f.place(c, args)
			if err != nil {
				return err
			}
			done := []string{}
			if p.Init != nil {
				ctx, cancel := f.within(c)
				defer cancel()
				var made []string
				made, err = p.Init(ctx, params)
				done = append(done, made...)
			}
			switch {
			case f.json:
				return errors.Join(writeJSON(c.OutOrStdout(), map[string]any{"store": p.URL, "done": done}), err)
			case p.Init == nil:
				return needsNothing(c.OutOrStdout(), p.URL)
			case err == nil && len(done) == 0:
				done = []string{"there is nothing to do"}
			}
			for _, line := range done {
				fmt.Fprintln(c.OutOrStdout(), line)
			}
			return err
		},
	}
	f.bind(c, 2*time.Minute)
	return c
}

func needsNothing(out io.Writer, u driver.URL) error {
	_, err := fmt.Fprintf(out, "the store %s needs no preparation\n", u)
	return err
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
