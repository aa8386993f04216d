package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ramen/internal/testserver"
	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/ledger/observe"
)

// config is what a run does.
type config struct {
	Binary  string
	Dir     string // data goes into a new folder here, removed at the end of a run without violations
	Seed    uint64
	Stores  []string      // names of sites
	Only    string        // names of schedules, with commas between them; empty: all
	Short   bool          // everything in one schedule a store
	Busy    bool          // the machine runs other things, too: servers wait longer for stores before they refuse
	Alone   int           // so many of a store's faults alone, drawn, in a short run; 0: all
	Pairs   int           // of faults within the same second; below 0: all
	Singles int           // so many single faults, one after the other, in one stage
	Chain   int           // so many pairs, one after the other, in one stage
	Table   string        // a file to which a row is added for each fault, pair and schedule; empty: none
	List    bool          // only say which schedules there are
	Rest    bool          // leave out the faults and pairs that Table has
	For     time.Duration // after which no schedule is begun any more; 0: all are

	Hold        time.Duration // how long a fault lasts
	PairHold    time.Duration // how long those of a pair do
	Calm        time.Duration // before the first fault, and after the last
	Accept      int           // at least so many messages, duplicates counted, a schedule
	Users       int
	Pause       time.Duration // of a publisher between two batches
	Quiet       time.Duration // so long without a push means that a device has all
	MailboxIdle time.Duration // after which a mailbox without streams and publishes leaves memory
	MostMemory  int64         // of one server, in bytes
	Tamper      observe.Tamper

	Printed  int // violations of each kind
	Progress io.Writer
	table    io.Writer     // where Table is
	done     map[done]bool // what Table had at the start, with Rest
}

func defaults() config {
	return config{
		Binary: "bin/ramen", Dir: ".", Pairs: 12, Singles: 1, Chain: 6, Hold: 10 * time.Second, PairHold: 3 * time.Second, Calm: 4 * time.Second, Users: 32, Pause: 60 * time.Millisecond,
		Quiet: 2 * time.Second, MailboxIdle: 2 * time.Second, MostMemory: 1 << 30, Printed: 3, Progress: os.Stderr, Stores: siteNames(),
	}
}

func main() {
	c := defaults()
	stores := strings.Join(c.Stores, ",")
	flag.StringVar(&c.Binary, "binary", c.Binary, "the ramen to test")
	flag.StringVar(&c.Dir, "dir", c.Dir, "where the servers' data goes, in a new folder; a disk")
	flag.Uint64Var(&c.Seed, "seed", rand.Uint64(), "of all that is drawn here; what servers and system do is not")
	flag.StringVar(&stores, "store", stores, "the stores, with commas between them")
	flag.StringVar(&c.Only, "only", "", "the schedules, by their names, with commas between them; all where it is empty")
	flag.IntVar(&c.Pairs, "pairs", c.Pairs, "pairs of faults within the same second, a store, drawn; -1: all")
	flag.IntVar(&c.Singles, "singles", c.Singles, "so many single faults, one after the other, with the same devices")
	flag.IntVar(&c.Chain, "chain", c.Chain, "so many pairs, one after the other, with the same devices")
	flag.DurationVar(&c.Hold, "hold", c.Hold, "how long a fault lasts")
	flag.DurationVar(&c.PairHold, "pair-hold", c.PairHold, "how long the faults of a pair last")
	flag.DurationVar(&c.Calm, "calm", c.Calm, "how long nothing is done before the first fault, and after the last")
	flag.StringVar(&c.Table, "table", c.Table, "a file to which a row in Markdown is added for each fault, pair and schedule")
	flag.BoolVar(&c.Rest, "rest", false, "leave out the faults and pairs that the table has already")
	flag.DurationVar(&c.For, "for", c.For, "begin no schedule after this time; all where it is 0")
	flag.BoolVar(&c.Busy, "busy", false, "the machine runs other things, too: have servers wait longer for stores before they refuse")
	flag.BoolVar(&c.List, "list", false, "only say which schedules there are")
	flag.IntVar(&c.Users, "users", c.Users, "users, with 1 to 4 devices each")
	flag.DurationVar(&c.Pause, "pause", c.Pause, "of each of the 8 publishers between two batches of 1 to 40")
	flag.IntVar(&c.Printed, "print", c.Printed, "violations of each kind to print with their histories")
	flag.IntVar(&c.Tamper.DropOneIn, "drop", 0, "have the devices' logs be without one in so many messages, which has to be found; 0: none")
	flag.IntVar(&c.Tamper.RepeatOneIn, "repeat", 0, "have one in so many resumed streams begin with a push that was acked, which has to be found; 0: none")
	flag.IntVar(&c.Accept, "accept", c.Accept, "publish on in each schedule until so many messages are accepted")
	flag.Parse()
	c.Stores = strings.Split(stores, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	status, err := faults(ctx, c, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 2
	}
	stop()
	os.Exit(status)
}

// faults makes all runs, and answers the exit status: 1 where a promise was broken.
func faults(ctx context.Context, c config, out io.Writer) (status int, err error) {
	dir, err := os.MkdirTemp(c.Dir, "ramen-faults-")
	if err != nil {
		return 0, fmt.Errorf("faults: make a folder: %w", err)
	}
	c.table = io.Discard
	if c.Rest {
		if c.done, err = readTable(c.Table); err != nil {
			return 0, err
		}
	}
	if c.Table != "" {
		f, err := openTable(c.Table)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		c.table = f
	}
	fmt.Fprintf(out, "faults: seed %d, %s\n", c.Seed, c.Binary)
	c.Progress = &lockedWriter{w: c.Progress}
	t := newHarness(c.Progress)
	defer func() {
		if closed := t.Close(); err == nil {
			err = closed
		}
	}()
	for _, name := range c.Stores {
		bad, err := onSite(ctx, c, t, name, dir, out)
		var skipped testserver.SkipError
		switch {
		case errors.As(err, &skipped):
			return 0, fmt.Errorf("faults: %s: %w", name, err)
		case err != nil:
			return 0, err
		case bad:
			status = 1
		}
	}
	if status != 0 {
		fmt.Fprintf(out, "\nThe servers' logs are in %s\n", dir)
		return status, nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return 0, fmt.Errorf("faults: remove the servers' data: %w", err)
	}
	return 0, nil
}

// onSite runs the schedules of one store.
func onSite(ctx context.Context, c config, t *harness, name, dir string, out io.Writer) (bad bool, err error) {
	st, err := open(t, c, name)
	if err != nil {
		return false, err
	}
	todo, err := selected(st, c)
	if err != nil {
		return false, err
	}
	if c.List {
		for _, sc := range todo {
			fmt.Fprintln(out, st.name, sc.name, sc.of)
		}
		return false, nil
	}
	began := time.Now()
	for i, sc := range todo {
		if err := ctx.Err(); err != nil {
			return bad, err
		}
		if c.For > 0 && time.Since(began) > c.For {
			fmt.Fprintf(out, "\n%s: %d of %d schedules were not begun within %v\n", st.name, len(todo)-i, len(todo), c.For)
			break
		}
		wrong, err := once(ctx, c, t, st, sc, dir, out)
		if err != nil {
			return bad, err
		}
		bad = bad || wrong
	}
	return bad, nil
}

// once runs one schedule and judges it.
func once(ctx context.Context, c config, t *harness, st *site, sc schedule, dir string, out io.Writer) (bad bool, err error) {
	dir = filepath.Join(dir, st.name+"-"+strings.ReplaceAll(sc.name, "+", "-"))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return false, fmt.Errorf("faults: make a folder: %w", err)
	}
	s, err := newStage(ctx, c, t, st, sc, dir)
	if err != nil {
		return false, err
	}
	l, err := s.run(sc)
	var stuck stuckError
	if errors.As(err, &stuck) {
		for _, a := range s.acts {
			fmt.Fprint(c.table, notBack(st.name, a.name, c.Seed))
		}
		fmt.Fprintf(out, "\n%s / %s: %v\nIt did not come back by itself; again by: make faults SEED=%d STORE=%s ONLY=%s\n", st.name, sc.name, err, c.Seed, st.name, sc.name)
		return true, nil
	}
	if err != nil {
		return false, err
	}
	r := judge.Judge(l)
	fmt.Fprintf(out, "\n%s / %s: %s\n", st.name, sc.name, st.says)
	figures(out, s, l)
	r.Write(out)
	for _, x := range rows(s, l, r) {
		x.write(c.table)
	}
	if !r.OK() {
		judge.WriteViolations(out, l, r, c.Printed)
		fmt.Fprintf(out, "\n%d violations; again by: make faults SEED=%d STORE=%s ONLY=%s\n", len(r.Violations), c.Seed, st.name, sc.name)
	}
	return !r.OK(), nil
}
