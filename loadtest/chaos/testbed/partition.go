package testbed

import (
	"errors"
	"fmt"
	"strings"

	"ramen/internal/localcluster"
	"ramen/internal/netspace"
	"ramen/internal/testserver"
)

// storeHost is the host of the store in the network, and what is held while something is done to its servers.
const storeHost = "store"

// place is where a member or the store runs, by its name: a host of its own in the network; nil: there is no network.
func (b *Bed) place(name string) (*testserver.Place, error) {
	if b.cfg.Network == nil {
		return nil, nil
	}
	h, err := b.cfg.Network.Add(name)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hosts == nil {
		b.hosts = make(map[string]*netspace.Host)
	}
	b.hosts[name] = h
	return &testserver.Place{Host: h.Addr(1), Enter: h.Enter}, nil
}

// side is one side of a partition.
type side struct{ role localcluster.Role } // empty: the store

var (
	frontends   = side{localcluster.Frontend}
	gateways    = side{localcluster.Gateway}
	controllers = side{localcluster.Controller}
	theStore    = side{}
)

// of are the hosts of a side.
func (s side) of(b *Bed) []*netspace.Host {
	if s.role == "" {
		return b.hostsOf(storeHost)
	}
	var names []string
	for _, m := range b.Members(s.role) {
		names = append(names, m.Name)
	}
	return b.hostsOf(names...)
}

func (b *Bed) hostsOf(names ...string) (hosts []*netspace.Host) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range names {
		hosts = append(hosts, b.hosts[name])
	}
	return hosts
}

// cut is a partition between two groups. Its number says which way, by its remainder by 3, and whether it is between all of both, or one of
// the first, or of the second, or of each.
func cut(first, second side) func(*Bed, *Fault) {
	return func(b *Bed, f *Fault) {
		xs, ys := first.of(b), second.of(b)
		which := f.Nth / 3
		if which&1 != 0 {
			xs = xs[f.Nth%len(xs):][:1]
		}
		if which&2 != 0 {
			ys = ys[f.Nth%len(ys):][:1]
		}
		b.cutBetween(f, xs, ys)
	}
}

// cutControllers cuts one controller off from the others: by turns the elected one, and any.
func (b *Bed) cutControllers(f *Fault) {
	all := controllers.of(b)
	one := f.Nth % len(all)
	if f.Nth/3%2 == 0 {
		if e := b.Elected(b.ctx); e != nil {
			one = indexOf(b.Members(localcluster.Controller), e)
		}
	}
	var others []*netspace.Host
	others = append(append(others, all[:one]...), all[one+1:]...)
	b.cutBetween(f, all[one:][:1], others)
}

func indexOf(all []*localcluster.Member, m *localcluster.Member) int {
	for i, x := range all {
		if x == m {
			return i
		}
	}
	return 0
}

// cutBetween drops for a while what each of xs sends to each of ys, or the other way round, or both.
func (b *Bed) cutBetween(f *Fault, xs, ys []*netspace.Host) {
	way := [3]string{"from and to", "from", "to"}[f.Nth%3]
	b.logf("%s: nothing comes through %s %s %s", f.Name, way, names(xs), names(ys))
	each := func(do func(from, to *netspace.Host) error) error {
		var errs []error
		for _, x := range xs {
			for _, y := range ys {
				if way != "to" {
					errs = append(errs, do(x, y))
				}
				if way != "from" {
					errs = append(errs, do(y, x))
				}
			}
		}
		return errors.Join(errs...)
	}
	err := each(b.cfg.Network.Cut)
	if err == nil {
		sleep(b.ctx, f.Hold)
	}
	if err := errors.Join(err, each(b.cfg.Network.Heal)); err != nil {
		b.program.Fatalf("testbed: %w", err)
	}
}

func names(hosts []*netspace.Host) string {
	var all []string
	for _, h := range hosts {
		all = append(all, h.Name)
	}
	return fmt.Sprintf("(%s)", strings.Join(all, ", "))
}
