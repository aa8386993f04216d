package main

import (
	"fmt"
	"io"
	"sync"

	"ramen/internal/testserver"
)

// harness stands in for a test where package testserver wants one.
type harness struct {
	out   io.Writer
	nodes map[int]*nodes // which sites share, by how many there are

	mu       sync.Mutex
	cleanups []func()
	failed   bool
	errs     []error
}

var _ testserver.TB = (*harness)(nil)

// failure is what Fatalf panics with, and skipping what Skipf does.
type (
	failure  struct{ error }
	skipping struct{ error }
)

// lockedWriter is for all goroutines of a run.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

func (h *harness) Helper()      {}
func (h *harness) Name() string { return "faults" }

func (h *harness) Failed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failed
}

func (h *harness) Cleanup(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cleanups = append(h.cleanups, f)
}

func (h *harness) Logf(format string, args ...any) {
	fmt.Fprintf(h.out, "faults: "+format+"\n", args...)
}

func (h *harness) Errorf(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failed = true
	h.errs = append(h.errs, fmt.Errorf(format, args...))
}

func (h *harness) Fatalf(format string, args ...any) { panic(failure{fmt.Errorf(format, args...)}) }

func (h *harness) Skipf(format string, args ...any) { panic(skipping{fmt.Errorf(format, args...)}) }

// catch calls f and answers what it failed with.
func catch(f func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.error
		case skipping:
			err = p
		default:
			panic(p)
		}
	}()
	f()
	return nil
}

// close undoes everything, the last first.
func (h *harness) close() error {
	for {
		h.mu.Lock()
		n := len(h.cleanups)
		if n == 0 {
			defer h.mu.Unlock()
			if len(h.errs) > 0 {
				return h.errs[0]
			}
			return nil
		}
		f := h.cleanups[n-1]
		h.cleanups = h.cleanups[:n-1]
		h.mu.Unlock()
		if err := catch(f); err != nil {
			h.Errorf("%w", err)
		}
	}
}
