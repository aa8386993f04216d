package main

import (
	"fmt"
	"os"
	"runtime"

	"ramen/internal/testserver"
)

// program stands in for a test where package testserver wants one. What it starts ends by testserver.CloseShared.
type program struct{}

var _ testserver.TB = program{}

func (program) Helper()        {}
func (program) Name() string   { return "share" }
func (program) Failed() bool   { return false }
func (program) Cleanup(func()) {}

func (program) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "share: "+format+"\n", args...)
}
func (p program) Errorf(format string, args ...any) { p.Logf(format, args...) }

// Fatalf ends the goroutine, which answers one test binary.
func (p program) Fatalf(format string, args ...any) {
	p.Logf(format, args...)
	runtime.Goexit()
}

// Skipf is Fatalf: a test binary asks where it has found all that is needed.
func (p program) Skipf(format string, args ...any) { p.Fatalf(format, args...) }
