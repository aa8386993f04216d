package testserver

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Program is a TB for what is no test. What was started with it is ended by Close.
type Program struct {
	name string
	out  io.Writer // of Logf

	mu       sync.Mutex
	cleanups []func() // guarded by mu
	failed   bool     // guarded by mu
	errs     []error  // guarded by mu
}

var _ TB = (*Program)(nil)

// NewProgram is a program that writes what Logf is told to out.
func NewProgram(name string, out io.Writer) *Program { return &Program{name: name, out: out} }

// programError is what Fatalf and Skipf panic with.
type programError struct{ error }

// SkipError is what Do answers where Skipf was called: something that is needed is not installed.
type SkipError struct{ error }

// Helper implements TB.
func (p *Program) Helper() {}

// Name implements TB.
func (p *Program) Name() string { return p.name }

// Failed implements TB.
func (p *Program) Failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// Cleanup implements TB.
func (p *Program) Cleanup(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cleanups = append(p.cleanups, f)
}

// Logf implements TB.
func (p *Program) Logf(format string, args ...any) {
	fmt.Fprintf(p.out, p.name+": "+format+"\n", args...)
}

// Errorf implements TB: Close answers the error.
func (p *Program) Errorf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = true
	p.errs = append(p.errs, fmt.Errorf(format, args...))
}

// Fatalf implements TB: the Do around it answers the error.
func (p *Program) Fatalf(format string, args ...any) {
	panic(programError{fmt.Errorf(format, args...)})
}

// Skipf implements TB as Fatalf does: the error is a SkipError.
func (p *Program) Skipf(format string, args ...any) {
	panic(programError{SkipError{fmt.Errorf(format, args...)}})
}

// Do calls f and answers what it failed with, by a Fatalf or a Skipf of any Program. Each goroutine that uses one needs its own.
func Do(f func()) (err error) {
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case programError:
			err = failure.error
		default:
			panic(failure)
		}
	}()
	f()
	return nil
}

// Do is the function Do.
func (p *Program) Do(f func()) error { return Do(f) }

// Close undoes everything, the last first, and answers what Errorf was told.
func (p *Program) Close() error {
	for {
		p.mu.Lock()
		n := len(p.cleanups)
		if n == 0 {
			defer p.mu.Unlock()
			errs := slices.Clone(p.errs)
			p.errs = nil
			return errors.Join(errs...)
		}
		f := p.cleanups[n-1]
		p.cleanups = p.cleanups[:n-1]
		p.mu.Unlock()
		if err := Do(f); err != nil {
			p.Errorf("%w", err)
		}
	}
}
