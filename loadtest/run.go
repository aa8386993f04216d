package loadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"ramen/loadtest/crew"
	"ramen/loadtest/host"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// Config is a whole run: a server, and scenarios one after another.
type Config struct {
	Target    crew.Target       `yaml:"target"`
	ServerPID int               `yaml:"server_pid"` // 0: not known
	Metrics   string            `yaml:"metrics"`    // URL; empty: that of target.backends
	Serve     bool              `yaml:"serve"`      // start a server for each scenario
	Auth      bool              `yaml:"auth"`       // which wants tokens and keys
	Dir       string            `yaml:"dir"`        // where its data goes; empty: here
	Args      []string          `yaml:"args"`       // more flags of ramen serve
	Scenarios []scenario.Params `yaml:"scenarios"`

	Binary string       `yaml:"-"` // this program: starts servers and workers; empty: neither
	Live   io.Writer    `yaml:"-"` // see scenario.Config
	Done   func(string) `yaml:"-"` // is told a scenario's table as soon as it has ended; may be nil
}

// Run runs every scenario, and answers what was found, also of those before one that failed.
func Run(ctx context.Context, cfg Config) (*report.Report, error) {
	r := &report.Report{Began: time.Now(), Machine: machine(), Command: strings.Join(os.Args, " ")}
	run, err := cfg.scenarios()
	if err != nil {
		return r, err
	}
	files := host.Descriptors()
	for _, p := range cfg.Scenarios {
		s, err := scenario.Run(ctx, run, p)
		if files > 0 && p.Streams/max(p.Processes, 1) > files {
			s.Notes = append(s.Notes, fmt.Sprintf("a process may open %d files: raise ulimit -n, or use more processes", files))
		}
		r.Sections = append(r.Sections, s)
		if cfg.Done != nil {
			one := report.Report{Sections: []report.Section{s}}
			cfg.Done(one.Text())
		}
		if err != nil {
			return r, fmt.Errorf("loadtest: %s: %w", p.Scenario, err)
		}
	}
	return r, nil
}

// scenarios is what is the same for all of them.
func (c *Config) scenarios() (scenario.Config, error) {
	run := scenario.Config{Target: c.Target, PID: c.ServerPID, Metrics: c.Metrics, Binary: c.Binary, Live: c.Live}
	if run.Metrics == "" && c.Target.Backends != "" {
		run.Metrics = strings.TrimSuffix(c.Target.Backends, "/") + "/metrics"
	}
	if !c.Serve {
		return run, nil
	}
	if c.Binary == "" {
		return run, errors.New("loadtest: start a server: this program is none that could be one")
	}
	run.Serve = &host.ServerConfig{Binary: c.Binary, Dir: c.Dir, Auth: c.Auth, Args: c.Args}
	if run.Serve.Dir == "" {
		run.Serve.Dir = "."
	}
	if host.InMemory(run.Serve.Dir) {
		return run, fmt.Errorf("loadtest: start a server: %s is in memory, where an fsync costs nothing: name a folder on a disk with --dir", run.Serve.Dir)
	}
	if on := host.Processors(); len(on) > 1 {
		run.Serve.Processors, run.LoadOn = on[:1], on[1:]
	}
	return run, nil
}

func machine() string {
	name, _ := os.Hostname()
	return fmt.Sprintf("%s, %s/%s, %d processors, %s", name, runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}
