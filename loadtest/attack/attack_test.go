package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"ramen/internal/testprocess"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(attackerVariable) != "" { // this process is an attacker
		if err := beAttacker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// patience is the silence that even a crowded machine does not explain.
const patience = 20 * time.Second

// TestAttacksAreBorne is the short form of make attack: small floods against the shipped binary. It asserts what is no matter of
// the machine's speed: memory, that the canaries live on, and that they are not silent for long.
func TestAttacksAreBorne(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a minute")
	}
	dir := t.TempDir()
	binary, err := testprocess.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := config{Binary: binary, Dir: dir, For: 800 * time.Millisecond, Short: true, Self: []string{os.Args[0]}}
	for _, a := range attacks {
		if a.much {
			continue
		}
		t.Run(a.name, func(t *testing.T) {
			r := try(t.Context(), c, a)
			t.Logf("%d MB, silence %v, p99 %v, %d refused; %s", r.Memory>>20, r.Silence, r.P99, r.Refused, r.Did)
			if r.Err != nil {
				t.Fatal(r.Err)
			}
			if r.Dead != "" {
				t.Errorf("dead afterwards: %s", r.Dead)
			}
			if r.Memory > mostMemory {
				t.Errorf("the server took %d MB: at most %d are right", r.Memory>>20, mostMemory>>20)
			}
			if r.Silence > patience {
				t.Errorf("a stream was silent for %v: %s", r.Silence, r.Silent)
			}
		})
	}
}

// TestTableNamesWhatWasMissed has rows on both sides of each bound.
func TestTableNamesWhatWasMissed(t *testing.T) {
	for _, c := range []struct {
		row  row
		want string
	}{
		{row{Memory: mostMemory, Silence: mostSilence, P99: mostPublish}, "kept"},
		{row{Memory: mostMemory + 1}, "MISSED: memory"},
		{row{Silence: mostSilence + 1}, "MISSED: silence"},
		{row{P99: mostPublish + 1}, "MISSED: publish"},
		{row{Dead: "ws"}, "MISSED: DEAD"},
		{row{Err: os.ErrClosed}, "MISSED: FAILED"},
	} {
		var b bytes.Buffer
		good := write(&b, []*row{&c.row})
		if !strings.Contains(b.String(), c.want) || good != (c.want == "kept") {
			t.Errorf("%+v: not %q in:\n%s", c.row, c.want, &b)
		}
	}
}

// TestAttacksHaveNames finds names that stand twice, and kinds that do nothing.
func TestAttacksHaveNames(t *testing.T) {
	names := make(map[string]bool)
	for _, a := range attacks {
		if names[a.name] || a.name == "" || a.what == "" || a.flood == nil {
			t.Errorf("attack %q", a.name)
		}
		names[a.name] = true
	}
}
