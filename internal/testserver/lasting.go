package testserver

import (
	"errors"
	"fmt"
	"sync"
)

// Lasting is t for starting what outlives it: what it would clean up is cleaned up by Main, after all tests. A failure to start fails t.
func Lasting(t TB) TB { return &lasting{TB: t} }

type lasting struct {
	TB

	mu   sync.Mutex
	errs []error // guarded by mu
}

func (l *lasting) Failed() bool { return false } // whatever becomes of the test that was first

func (l *lasting) Cleanup(f func()) {
	AtEnd(func() error {
		f()
		l.mu.Lock()
		defer l.mu.Unlock()
		defer func() { l.errs = nil }()
		return errors.Join(l.errs...)
	})
}

// Logf drops the line: the test may have ended, which nobody may write to then.
func (l *lasting) Logf(string, ...any) {}

func (l *lasting) Errorf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, fmt.Errorf(format, args...))
}
