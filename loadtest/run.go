package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"ramen/loadtest/machine"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
	"ramen/loadtest/workers"
)

// Config is a whole run: a server, and scenarios one after another.
type Config struct {
	Target    workers.Target `yaml:"target"`
	ServerPID int            `yaml:"server_pid"` // 0: not known
	// ServerPIDs are the processes of a cluster on this machine, in place of ServerPID.
	ServerPIDs []int             `yaml:"server_pids"`
	Metrics    string            `yaml:"metrics"`    // URL; empty: that of target.backends
	Serve      bool              `yaml:"serve"`      // start a server for each scenario
	Auth       bool              `yaml:"auth"`       // with authentication: devices show tokens, backends a key
	Dir        string            `yaml:"dir"`        // where its data goes; empty: here
	Args       []string          `yaml:"args"`       // more flags of ramen serve
	Store      string            `yaml:"store"`      // with serve: its URL; empty: the embedded store
	Cache      string            `yaml:"cache"`      // with serve: URL of a cache before it; empty: none
	StorePIDs  []int             `yaml:"store_pids"` // processes of the store on this machine, to measure their CPU, too
	Unbound    bool              `yaml:"unbound"`    // server and load share all processors, as they do in production
	Scenarios  []scenario.Params `yaml:"scenarios"`

	Baselines bool `yaml:"baselines"` // before each scenario that the baseline server can play, play it against that server
	Floors    bool `yaml:"floors"`    // the former name of Baselines

	Command func(scenario.Params) string `yaml:"-"` // how to run one alone, for reports; may be nil

	Binary string     `yaml:"-"` // this program: starts servers and workers; empty: neither
	Live   io.Writer  `yaml:"-"` // see scenario.Config
	Width  func() int `yaml:"-"` // of Live

	Measuring func() `yaml:"-"` // see scenario.Config

	Done func(*report.Section) `yaml:"-"` // gets a scenario's findings as soon as it has ended; may be nil
}

// Run runs every scenario, even after one that failed, and returns the findings. The error joins all failures but those of
// optional scenarios.
func Run(ctx context.Context, cfg Config) (*report.Report, error) {
	r := &report.Report{Began: time.Now(), Machine: machine.Describe(cfg.Dir), Command: strings.Join(os.Args, " ")}
	run, err := cfg.scenarios()
	if err != nil {
		return r, err
	}
	var failed []error
	files := machine.Descriptors()
	for _, p := range cfg.list() {
		s, err := scenario.Run(ctx, run, p)
		if cfg.Command != nil {
			s.Command = cfg.Command(p)
		}
		if files > 0 && p.Streams/max(p.Processes, 1) > files {
			s.Notes = append(s.Notes, fmt.Sprintf("a process may open %d files: raise ulimit -n, or use more processes", files))
		}
		r.Sections = append(r.Sections, s)
		if cfg.Done != nil {
			cfg.Done(&r.Sections[len(r.Sections)-1])
		}
		if err != nil && (!p.Optional || ctx.Err() != nil) {
			failed = append(failed, fmt.Errorf("loadtest: %s: %w", p.Scenario, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return r, errors.Join(failed...)
}

// list is the scenarios; with Baselines, each has its run against the baseline server before it.
func (c *Config) list() []scenario.Params {
	var list []scenario.Params
	for _, p := range c.Scenarios {
		p.Baseline, p.Floor = p.Baseline || p.Floor, false
		baseline := p
		baseline.Server = nil // it has no flags
		if (c.Baselines || c.Floors) && !p.Baseline && baseline.HasBaseline() {
			baseline.Baseline = true
			list = append(list, baseline)
		}
		list = append(list, p)
	}
	return list
}

// scenarios is the configuration that all scenarios share.
func (c *Config) scenarios() (scenario.Config, error) {
	run := scenario.Config{Target: c.Target, PIDs: c.pids(), Metrics: c.Metrics, StorePIDs: c.StorePIDs, Measuring: c.Measuring, Binary: c.Binary, Live: c.Live, Width: c.Width}
	if run.Metrics == "" && c.Target.Backends != "" {
		run.Metrics = strings.TrimSuffix(c.Target.Backends, "/") + "/metrics"
	}
	if !c.Serve {
		if c.Store != "" || c.Cache != "" {
			return run, errors.New("loadtest: store and cache are those of a server that the test starts: use --serve")
		}
		return run, nil
	}
	if c.Binary == "" {
		return run, errors.New("loadtest: start a server: --serve works only in the ramen binary")
	}
	run.Serve = &machine.ServerConfig{Binary: c.Binary, Dir: c.Dir, Auth: c.Auth, TLS: c.Target.TLS, Args: c.Args, Store: c.Store, Cache: c.Cache}
	if run.Serve.Dir == "" {
		run.Serve.Dir = "."
	}
	if machine.InMemory(run.Serve.Dir) {
		return run, fmt.Errorf("loadtest: start a server: %s is in memory, where an fsync costs nothing: give a folder on a disk with --dir", run.Serve.Dir)
	}
	if on := machine.Processors(); len(on) > 1 && !c.Unbound {
		run.Serve.Processors, run.LoadOn = on[:1], on[1:]
	}
	return run, nil
}

// pids are the processes of the server that are known.
func (c *Config) pids() []int {
	if len(c.ServerPIDs) == 0 && c.ServerPID != 0 {
		return []int{c.ServerPID}
	}
	return c.ServerPIDs
}
