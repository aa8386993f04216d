package main

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"ramen/internal/testserver"
)

// host stands in for a test where package testserver wants one. It is used by one goroutine at a time.
type host struct {
	cleanups []func()
	failed   bool
}

var _ testserver.TB = (*host)(nil)

func (h *host) Helper()          {}
func (h *host) Name() string     { return "stores" }
func (h *host) Failed() bool     { return h.failed }
func (h *host) Cleanup(f func()) { h.cleanups = append(h.cleanups, f) }

func (h *host) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "stores: "+format+"\n", args...)
}

func (h *host) Errorf(format string, args ...any) {
	h.failed = true
	h.Logf(format, args...)
}

// stopped is what Fatalf and Skipf panic with.
type stopped struct{ error }

func (h *host) Fatalf(format string, args ...any) { panic(stopped{fmt.Errorf(format, args...)}) }
func (h *host) Skipf(format string, args ...any)  { h.Fatalf(format, args...) }

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
func (h *host) close() (err error) {
	for _, f := range slices.Backward(h.cleanups) {
		err = errors.Join(err, catch(f))
	}
	h.cleanups = nil
	return err
}
