package system

import (
	"flag"
	"os"
	"testing"

	"go.uber.org/goleak"

	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
)

// These tests wait far more than they compute.
const atOnce = "16"

func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f != nil && f.Value.String() == f.DefValue {
		if err := f.Value.Set(atOnce); err != nil {
			panic(err)
		}
	}
	code := testserver.Main(m).Run()
	if code == 0 {
		if err := goleak.Find(faultproxy.Leaks()...); err != nil {
			os.Stderr.WriteString("system: goroutines are left: " + err.Error() + "\n")
			code = 1
		}
	}
	os.Exit(code)
}
