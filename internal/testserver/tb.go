package testserver

import (
	"fmt"

	"ramen/internal/ports"
)

// TB is what the packages below use of testing.TB, so that programs do not import package testing.
type TB interface {
	Helper()
	Name() string
	Failed() bool
	Cleanup(f func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// PortsTB is t as package ports wants it.
func PortsTB(t TB) ports.TB { return portsTB{t} }

type portsTB struct{ TB }

func (t portsTB) Fatal(args ...any) { t.Helper(); t.Fatalf("%s", fmt.Sprint(args...)) }
func (t portsTB) Error(args ...any) { t.Helper(); t.Errorf("%s", fmt.Sprint(args...)) }
