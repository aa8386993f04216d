package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"ramen/internal/testserver"
)

// harness stands in for a test where package testserver wants one. It is used by one goroutine at a time.
type harness struct {
	cleanups []func()
	failed   bool
}

var _ testserver.TB = (*harness)(nil)

func (h *harness) Helper()          {}
func (h *harness) Name() string     { return "stores" }
func (h *harness) Failed() bool     { return h.failed }
func (h *harness) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }

func (h *harness) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "stores: "+format+"\n", args...)
}

func (h *harness) Errorf(format string, args ...any) {
	h.failed = true
	h.Logf(format, args...)
}

// stopped is what Fatalf and Skipf panic with.
type stopped struct{ error }

func (h *harness) Fatalf(format string, args ...any) { panic(stopped{fmt.Errorf(format, args...)}) }
func (h *harness) Skipf(format string, args ...any)  { h.Fatalf(format, args...) }

// catch calls f and answers what it failed with.
func catch(f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s, is := p.(stopped)
			if !is {
				panic(p)
			}
			err = s.error
		}
	}()
	f()
	return nil
}

// close undoes everything, the last first.
func (h *harness) close() (err error) {
	for _, f := range slices.Backward(h.cleanups) {
		err = errors.Join(err, catch(f))
	}
	h.cleanups = nil
	return err
}
