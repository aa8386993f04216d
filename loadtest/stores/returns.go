package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"ramen/loadtest"
	"ramen/loadtest/expect"
	"ramen/loadtest/machine"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// What devices that come back are measured by, as package scenario names it.
const (
	allBack  = "until all had all"
	openP50  = "open p50"
	openP99  = "open p99"
	ourCPU   = "CPU a message, the connect included"
	storeCPU = "store's CPU a message, the connect included"
)

// returns measures many devices that come back at once, with one message each that waits. A process may open so many files: beyond that there
// are several servers, each with a place of its own on the same servers of the store, and their devices come back at the same moment.
func (b *bench) returns(ctx context.Context) error {
	var some []*site
	for _, s := range b.sites {
		if s.name == nodes || s.name == withCache {
			some = append(some, s)
		}
	}
	t := newTable(some, []column{{allBack, allBack}, {openP50, openP50}, {openP99, openP99}, {"our CPU a device", ourCPU}, {"store's CPU a device", storeCPU}})
	servers := serversFor(b.c.Returned, machine.Descriptors())
	p := scenario.Params{Scenario: "replay", Streams: b.c.Returned / servers, Connects: 1000 / float64(servers), Messages: 1, For: leaveTime, Server: left, Wait: 5 * time.Minute}
	for _, s := range some {
		if servers == 1 {
			if err := b.once(ctx, t, s, p, nil); err != nil {
				return err
			}
			continue
		}
		section, err := b.returnTo(ctx, s, p, servers)
		if err != nil {
			section.Failed = err.Error()
		}
		t.add(s, &section)
		b.all.Sections = append(b.all.Sections, section)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "\n%s devices come back at once to %d servers, each to one message, none in memory\n\n%s", report.Whole(int64(p.Streams*servers)), servers, t)
	return nil
}

// spareFiles is how many files a server opens beside its devices' connections, at most.
const spareFiles = 1000

// serversFor is how many servers it takes for so many devices, where a process may open so many files; 0: no limit is known.
func serversFor(devices, files int) int {
	if files <= spareFiles {
		return 1
	}
	each := files - spareFiles
	return max(1, (devices+each-1)/each)
}

// returnTo plays p on several servers, whose devices wait for each other before they come back.
func (b *bench) returnTo(ctx context.Context, s *site, p scenario.Params, servers int) (report.Section, error) {
	together := newMeeting(servers)
	sections, errs := make([]report.Section, servers), make([]error, servers)
	var all sync.WaitGroup
	for i := range servers {
		url, cache, err := s.place(b, i)
		if err != nil {
			return report.Section{}, err
		}
		all.Go(func() {
			var once sync.Once
			defer once.Do(together.leave) // whoever fails before is not waited for
			r, err := loadtest.Run(ctx, loadtest.Config{Binary: b.c.Binary, Dir: b.c.Dir, Serve: true, Store: url, Cache: cache, StorePIDs: s.pids(b.h),
				Scenarios: []scenario.Params{p}, Measuring: func() { once.Do(func() { together.meet(ctx) }) }})
			if errs[i] = err; len(r.Sections) > 0 {
				sections[i] = r.Sections[0]
			}
		})
	}
	all.Wait()
	section := joined(sections)
	section.About = fmt.Sprintf("%s: %d devices of each of %d servers come back at once", s.says, p.Streams, servers)
	return section, errors.Join(errs...)
}

// joined makes one section of those of several servers: the longest time, the worst percentile, the mean CPU of ours. What each has counted of
// the store is of all of them: the one that took longest has counted most.
func joined(sections []report.Section) (all report.Section) {
	all.Scenario = "replay"
	row := func(name string, of func(values []float64) float64) {
		var values []float64
		unit := ""
		for i := range sections {
			for _, r := range sections[i].Rows {
				if r.Name == name {
					values, unit = append(values, r.Value), r.Unit
				}
			}
		}
		if len(values) > 0 {
			all.Add(name, of(values), unit)
		}
	}
	most := func(values []float64) (m float64) {
		for _, v := range values {
			m = max(m, v)
		}
		return m
	}
	row(allBack, most)
	row(openP50, mean)
	row(openP99, most)
	row(ourCPU, mean)
	row(storeCPU, func(values []float64) float64 { return most(values) / float64(len(sections)) })
	for i := range sections {
		s := &sections[i]
		all.Notes = append(all.Notes, s.Notes...)
		all.Violations = append(all.Violations, s.Violations...)
		for kind, n := range s.Counts {
			if all.Counts == nil {
				all.Counts = make(map[expect.Kind]int64)
			}
			all.Counts[kind] += n
		}
		if s.Failed != "" {
			all.Failed = s.Failed
		}
		all.Others, all.Stolen = max(all.Others, s.Others), max(all.Stolen, s.Stolen)
	}
	return all
}

// meeting is where several wait for each other, once.
type meeting struct {
	mu   sync.Mutex
	left int // guarded by mu: who has not come or left yet
	all  chan struct{}
}

func newMeeting(n int) *meeting { return &meeting{left: n, all: make(chan struct{})} }

// leave has nobody wait for the caller.
func (m *meeting) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left == 0 {
		close(m.all)
	}
}

// meet waits until all have come or left, or ctx ends.
func (m *meeting) meet(ctx context.Context) {
	m.leave()
	select {
	case <-m.all:
	case <-ctx.Done():
	}
}
