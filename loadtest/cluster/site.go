package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"ramen/internal/localcluster"
	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/loadtest/machine"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// site is a cluster under load.
type site struct {
	*localcluster.Cluster
	c    *config
	pids []int // frontends, then gateways, then controllers
}

// bind has all that this process starts from now on run on these processors; none: on all.
func (c *config) bind(on []int) error {
	if len(on) == 0 {
		on = c.processors
	}
	return machine.BindSelf(on)
}

// halves are the processors of ours and of the load.
func (c *config) halves() (ours, load []int) {
	if len(c.processors) < 2 {
		return nil, nil
	}
	return c.processors[:1], c.processors[1:]
}

// redis is a store without a log, on the processors of the load where bound.
func (c *config) redis(t *testserver.Program, bound bool) (url string, err error) {
	if bound {
		_, load := c.halves()
		if err := c.bind(load); err != nil {
			return "", err
		}
	}
	err = t.Do(func() {
		url = redistest.Single(t, redistest.Options{Config: redistest.Config{"maxmemory-policy": "noeviction"}}).URL()
	})
	return url, errors.Join(err, c.bind(nil))
}

// start starts a cluster of one controller.
func (c *config) start(t *testserver.Program, binary, store string, frontends, gateways int, bound bool) (s *site, err error) {
	if bound {
		ours, _ := c.halves()
		if err := c.bind(ours); err != nil {
			return nil, err
		}
	}
	s = &site{c: c}
	err = t.Do(func() {
		s.Cluster = localcluster.Start(t, localcluster.Config{Binary: binary, Controllers: 1, Frontends: frontends, Gateways: gateways, Store: store, LogLevel: "warn"})
		for _, role := range []localcluster.Role{localcluster.Frontend, localcluster.Gateway, localcluster.Controller} {
			for _, m := range s.Members(role) {
				s.pids = append(s.pids, m.PID(t))
			}
		}
	})
	return s, errors.Join(err, c.bind(nil))
}

// load is how the load reaches the cluster.
func (s *site) load(bound bool) scenario.Config {
	var devices, devicesGRPC, backends []string
	for _, m := range s.Members(localcluster.Frontend) {
		devices = append(devices, "http://"+m.At.Devices)
		devicesGRPC = append(devicesGRPC, m.At.DevicesGRPC)
		backends = append(backends, m.At.BackendsGRPC)
	}
	cfg := scenario.Config{Binary: s.c.Binary, PIDs: s.pids}
	cfg.Target.Devices, cfg.Target.DevicesGRPC = strings.Join(devices, ","), strings.Join(devicesGRPC, ",")
	cfg.Target.Backends, cfg.Target.BackendsGRPC = "http://"+s.Members(localcluster.Frontend)[0].At.Backends, strings.Join(backends, ",")
	if bound {
		_, cfg.LoadOn = s.c.halves()
	}
	return cfg
}

// play plays a scenario, and tells what it found.
func (c *config) play(ctx context.Context, what string, cfg scenario.Config, p scenario.Params) (report.Section, error) {
	s, err := scenario.Run(ctx, cfg, p)
	return s, c.told(what, &s, err)
}

// told tells what was found, and fails where a promise was not kept.
func (c *config) told(what string, s *report.Section, err error) error {
	fmt.Fprintf(c.out, "\n%s: %s\n", what, s.About)
	for _, r := range s.Rows {
		fmt.Fprintf(c.out, "  %-60s %s %s\n", r.Name, report.Number(r.Value), r.Unit)
	}
	for _, n := range s.Notes {
		fmt.Fprintf(c.out, "  note: %s\n", n)
	}
	fmt.Fprintf(c.out, "  others took %.0f %% of a processor, the host %.0f %%\n", s.Others, s.Stolen)
	if len(s.Counts) > 0 {
		err = errors.Join(err, fmt.Errorf("promises were not kept: %v, such as %+v", s.Counts, s.Violations[0]))
	}
	return err
}

// value is a figure of a section; 0: there is none.
func value(s *report.Section, name string) float64 {
	for _, r := range s.Rows {
		if r.Name == name {
			return r.Value
		}
	}
	return 0
}

func or[T comparable](v, otherwise T) T { return cmp.Or(v, otherwise) }
