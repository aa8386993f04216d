package testserver

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
)

var shared struct {
	mu  sync.Mutex
	end []func() error
}

// AtEnd has f called by Main after all tests, the last one first: what belongs to no one test is closed there.
func AtEnd(f func() error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.end = append(shared.end, f)
}

// TestingM is *testing.M, and what goleak.VerifyTestMain takes.
type TestingM interface{ Run() int }

// Main is m with an end: its Run closes what the tests shared. A package whose tests call a Shared has a TestMain of the line
//
//	goleak.VerifyTestMain(testserver.Main(m))
func Main(m TestingM) TestingM { return main{m} }

type main struct{ m TestingM }

func (m main) Run() int {
	code := m.m.Run()
	if err := CloseShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	return code
}

// CloseShared closes what AtEnd was told, for programs.
func CloseShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	var errs []error
	for _, end := range slices.Backward(shared.end) {
		errs = append(errs, end())
	}
	shared.end = nil
	return errors.Join(errs...)
}
