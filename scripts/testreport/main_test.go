package main

import (
	"bytes"
	"strings"
	"testing"
)

const events = `{"Action":"start","Package":"p"}
{"Action":"run","Package":"p","Test":"TestGood"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"=== RUN   TestGood\n"}
{"Action":"output","Package":"p","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestGood","Elapsed":0.1}
{"Action":"run","Package":"p","Test":"TestSkipped"}
{"Action":"output","Package":"p","Test":"TestSkipped","Output":"=== RUN   TestSkipped\n"}
{"Action":"output","Package":"p","Test":"TestSkipped","Output":"    a_test.go:7: skipped: it needs root: sorry\n"}
{"Action":"output","Package":"p","Test":"TestSkipped","Output":"--- SKIP: TestSkipped (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestSkipped","Elapsed":0}
{"Action":"output","Package":"p","Output":"ok  \tp\t0.2s\n"}
{"Action":"pass","Package":"p","Elapsed":0.2}
go: downloading something
`

const failure = `{"Action":"output","Package":"q","Test":"TestBad","Output":"    b_test.go:9: wrong\n"}
{"Action":"fail","Package":"q","Test":"TestBad","Elapsed":0.1}
{"Action":"output","Package":"q","Output":"goleak: found a goroutine\n"}
{"Action":"fail","Package":"q","Elapsed":1.25}
{"Action":"build-output","ImportPath":"r","Output":"r.go:1: syntax error\n"}
{"Action":"build-fail","ImportPath":"r"}
`

func TestReportTellsSkipsAndFailures(t *testing.T) {
	var out bytes.Buffer
	if good, err := report(strings.NewReader(events), &out); err != nil || !good {
		t.Errorf("%v, %v", good, err)
	}
	want := "ok    p  0.2s\ngo: downloading something\n\nskipped:\n  p TestSkipped: skipped: it needs root: sorry\n\n1 passed, 0 failed, 1 skipped\n"
	if out.String() != want {
		t.Errorf("%q\nnot\n%q", &out, want)
	}
	out.Reset()
	if good, err := report(strings.NewReader(events+failure), &out); err != nil || good {
		t.Errorf("%v, %v", good, err)
	}
	for _, want := range []string{"b_test.go:9: wrong", "goleak: found", "FAIL  q  1.2s", "r.go:1: syntax error", "1 passed, 3 failed, 1 skipped"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "chatter") {
		t.Error("it repeats what a good test wrote")
	}
}
