package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
	"ramen/loadtest/ledger/judge"
)

// binary is the ramen that all tests run.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ramen-faults-test-")
	if err == nil {
		binary, err = testprocess.Build(dir)
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, append(faultproxy.Leaks(), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))...)
}

// short is a run of make test: faults of stores and one pair, each for a moment. Those of several stores are drawn anew each time.
func short(t *testing.T, stores ...string) config {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	c := defaults()
	c.Binary, c.Dir, c.Seed, c.Stores, c.Short, c.Busy = binary, t.TempDir(), seed(t), stores, true, true
	c.Pairs, c.Hold, c.Calm, c.Users, c.Quiet, c.Progress = 1, 1500*time.Millisecond, time.Second, 12, time.Second, &bytes.Buffer{}
	return c
}

// run runs c, and fails the test where a promise was broken.
func run(t *testing.T, c config) {
	var out bytes.Buffer
	status, err := faults(t.Context(), c, &out)
	t.Logf("%s%s", c.Progress, &out)
	var skipped testserver.SkipError
	if errors.As(err, &skipped) {
		t.Skip(skipped)
	}
	if err != nil {
		t.Fatal(err)
	}
	if status != 0 {
		t.Errorf("exit status %d", status)
	}
}

func TestFaultsOfOneProcess(t *testing.T) { run(t, short(t, "pebble")) }

func TestFaultsOfRedis(t *testing.T) {
	c := short(t, "redis")
	c.Alone = 8
	run(t, c)
}

func TestFaultsOfRedisCluster(t *testing.T) {
	c := short(t, "redis-cluster")
	c.Alone = 6
	run(t, c)
}

// TestFaultsOfCassandra alone, and with a Redis before it.
func TestFaultsOfCassandra(t *testing.T) {
	testserver.Long(t)
	c := short(t, "cassandra", "tiered")
	c.Alone = 4
	run(t, c)
}

// TestOneMessageInTenThousandIsMissed, and one ack in many that is forgotten, whatever else is done meanwhile.
func TestOneMessageInTenThousandIsMissed(t *testing.T) {
	c := short(t, "pebble")
	c.Accept, c.Pause, c.Tamper.DropOneIn, c.Tamper.RepeatOneIn = 11_000, 15*time.Millisecond, 10_000, 40
	c.Progress = &lockedWriter{w: c.Progress}
	h := newHarness(c.Progress)
	st, err := open(h, c, "pebble")
	if err != nil {
		t.Fatal(err)
	}
	sc := schedules(st, c)[0]
	s, err := newStage(t.Context(), c, h, st, sc, c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := s.run(sc)
	if err != nil {
		t.Fatal(err)
	}
	dropped, repeated := s.clients.Tampered()
	if dropped == 0 || repeated == 0 {
		t.Fatalf("%d messages were dropped, %d acked pushes repeated: there has to be one of each", dropped, repeated)
	}
	r := judge.Judge(l)
	t.Logf("of %d messages %d were dropped; %d streams began with an acked push", r.Messages, dropped, repeated)
	due := make(map[string]bool) // of the dropped ones; those that were never answered are not
	for _, m := range l.Messages {
		for _, a := range m.Attempts {
			if s.clients.Dropped(m) && (a.Status == judge.Accepted || a.Status == judge.Duplicate) {
				due[m.ID] = true
			}
		}
	}
	missed := make(map[string]bool)
	for _, v := range r.Violations {
		switch v.Kind {
		case judge.Missing:
			missed[v.ID] = true
		case judge.Skipped: // also what an acked push that came again goes before
			if due[v.ID] || !wasPushed(l, v) {
				missed[v.ID] = true
			}
		case judge.Acked, judge.Order, judge.Priority, judge.Expired, judge.Recalled, judge.Replaced: // all of a push that is out of its time
		default:
			t.Errorf("found, although nothing of it was done: %+v", v)
		}
	}
	if !maps.Equal(missed, due) {
		t.Errorf("missed are %v, dropped %v", missed, due)
	}
	if r.Of(judge.Acked) < repeated {
		t.Errorf("%d of %d acked pushes that came again were found", r.Of(judge.Acked), repeated)
	}
}

// wasPushed reports whether the device of v was pushed its message.
func wasPushed(l *judge.Log, v judge.Violation) bool {
	for _, d := range l.Devices {
		if d.User != v.User || d.Name != v.Device {
			continue
		}
		for _, s := range d.Streams {
			if slices.ContainsFunc(s.Pushes, func(p judge.Push) bool { return p.ID == v.ID }) {
				return true
			}
		}
	}
	return false
}

// TestSeedDrawsTheSamePairs so that what was found can be found again.
func TestSeedDrawsTheSamePairs(t *testing.T) {
	all := make([]fault, 9)
	for i := range all {
		all[i] = fault{name: strconv.Itoa(i), fleet: i < 4}
	}
	seen := make(map[string]bool)
	a, b := pairs(all, 7, 100), pairs(all, 7, 100)
	for i, p := range a {
		name := p[0].name + "+" + p[1].name
		if p[0].name != b[i][0].name || p[1].name != b[i][1].name || seen[name] || p[0].fleet && p[1].fleet {
			t.Errorf("pair %d is %s, and %s+%s", i, name, b[i][0].name, b[i][1].name)
		}
		seen[name] = true
	}
	if want := 9*8/2 - 4*3/2; len(a) != want {
		t.Errorf("%d pairs, not %d", len(a), want)
	}
}

// TestUnknownNameSaysWhichThereAre of stores and schedules.
func TestUnknownNameSaysWhichThereAre(t *testing.T) {
	c := defaults()
	c.Dir, c.Progress = t.TempDir(), &bytes.Buffer{}
	for _, ask := range []struct{ store, only, want string }{{"tape", "", "pebble"}, {"pebble", "earthquake", "owner-killed"}} {
		c.Stores, c.Only = []string{ask.store}, ask.only
		if _, err := faults(context.Background(), c, io.Discard); err == nil || !strings.Contains(err.Error(), ask.want) {
			t.Errorf("%s %q: %v", ask.store, ask.only, err)
		}
	}
}

// seed is RAMEN_TEST_SEED, or one that is drawn.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if text := os.Getenv("RAMEN_TEST_SEED"); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("RAMEN_TEST_SEED: %v", err)
		}
	}
	t.Logf("RAMEN_TEST_SEED=%d", s)
	return s
}
