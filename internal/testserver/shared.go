package testserver

import (
	"fmt"
	"os"
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

func (m main) Run() (code int) {
	code = m.m.Run()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	for i := len(shared.end) - 1; i >= 0; i-- {
		if err := shared.end[i](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	shared.end = nil
	return code
}
