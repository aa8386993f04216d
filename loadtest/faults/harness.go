package main

import (
	"io"
	"sync"

	"ramen/internal/testserver"
)

// harness stands in for a test where package testserver wants one.
type harness struct {
	*testserver.Program
	nodes map[int]*nodes // which sites share, by how many there are
}

func newHarness(out io.Writer) *harness {
	return &harness{Program: testserver.NewProgram("faults", out)}
}

// catch calls f and answers what it failed with.
func catch(f func()) error { return testserver.Do(f) }

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
