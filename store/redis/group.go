package redis

import (
	"slices"
	"sync"
)

// group waits for the answers to some calls.
type group struct {
	all  sync.WaitGroup
	errs []error // of the calls; read once all have been answered
}

func newGroup(n int) *group {
	g := &group{errs: make([]error, n)}
	g.all.Add(n)
	return g
}

func (g *group) answer(i int, err error) {
	g.errs[i] = err
	g.all.Done()
}

func (g *group) wait() { g.all.Wait() }

// first is the first error.
func (g *group) first() error {
	if i := slices.IndexFunc(g.errs, func(err error) bool { return err != nil }); i >= 0 {
		return g.errs[i]
	}
	return nil
}

// result answers as the contract says: nil where there was no error.
func (g *group) result() []error {
	if g.first() == nil {
		return nil
	}
	return g.errs
}
