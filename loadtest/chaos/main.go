// Chaos runs a cluster of real processes under load while something is done to it, again and again, singly and in pairs within the same
// second: members are killed, paused, drained, restarted, added, upgraded from the binary before, and cut off from each other and from the
// store, their etcd is wiped, and so on with the servers of their store. From what publishers and devices have seen, and from who claims
// and serves which shard, it judges whether every promise was kept. A seed gives the same schedule again; what processes and system make
// of it is theirs.
//
// As root on Linux it runs itself once more in a network namespace of its own, with one for each member, so that any two can be cut off
// from each other. Elsewhere the members are at 127.0.0.1, and partitions are left out.
//
// Goroutines: those of package testbed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"ramen/loadtest/chaos/testbed"
	"ramen/loadtest/ledger/judge"
)

type config struct {
	bed    testbed.Config
	For    time.Duration
	Faults int // at least so many, where there is time; 0: as many as come
	Only   []string
	// UpgradeFrom is a commit whose binary the cluster starts with; empty: HEAD~1, where that can be read.
	UpgradeFrom string
	Dir         string // where logs go if a promise was broken
	Printed     int
}

func defaults() config {
	return config{bed: testbed.Default(), For: 20 * time.Minute, Only: testbed.Names(), Dir: ".", Printed: 3}
}

func main() {
	c := defaults()
	c.bed.Progress = os.Stderr
	only := strings.Join(c.Only, ",")
	flag.StringVar(&c.bed.Cluster.Binary, "binary", "bin/ramen", "the ramen to test")
	flag.Uint64Var(&c.bed.Seed, "seed", rand.Uint64(), "of the schedule, and of what publishers and devices do")
	flag.DurationVar(&c.For, "for", c.For, "how long, 20m at most")
	flag.IntVar(&c.Faults, "faults", c.Faults, "end sooner, after so many; 0: go on")
	flag.StringVar(&only, "only", only, "which faults, with commas between them; those that cannot be done here are left out")
	flag.StringVar(&c.bed.Store, "store", c.bed.Store, "one of "+strings.Join(testbed.Stores, ", "))
	flag.StringVar(&c.UpgradeFrom, "upgrade-from", "", "a commit or tag: the cluster starts with its ramen, and all members are restarted from it to -binary; by default HEAD~1, where there is a repository")
	flag.BoolVar(&c.bed.NoWayBack, "no-way-back", false, "do not restart members from -binary to that of -upgrade-from: it cannot read what the newer one has written")
	flag.StringVar(&c.Dir, "dir", c.Dir, "where the logs of all members go, in a new folder, if a promise was broken")
	flag.IntVar(&c.bed.Users, "users", c.bed.Users, "users, with 1 to 4 devices each")
	flag.DurationVar(&c.bed.Pause, "pause", c.bed.Pause, "of each of the 8 publishers between two batches of 1 to 40")
	flag.IntVar(&c.bed.Tamper.DropOneIn, "drop", 0, "have the devices' logs be without one in so many messages, which has to be found; 0: none")
	flag.StringVar(&c.bed.Cluster.LogLevel, "log-level", c.bed.Cluster.LogLevel, "of all members: debug tells each shard's story")
	flag.IntVar(&c.Printed, "print", c.Printed, "violations of each kind to print with their histories")
	flag.Parse()
	c.Only = strings.Split(only, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := begin(ctx, c)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 2
	}
	os.Exit(status)
}

// chaos makes a run, judges it, and answers the exit status: 1 where a promise was broken.
func chaos(ctx context.Context, c config, out io.Writer) (status int, err error) {
	if c.For > 20*time.Minute || c.For <= 0 {
		return 0, fmt.Errorf("chaos: for is %v: at most 20m, so that no message without a ttl expires", c.For)
	}
	for _, name := range c.Only {
		if !slices.Contains(testbed.Names(), name) {
			return 0, fmt.Errorf("chaos: there is no fault %q, but %s", name, strings.Join(testbed.Names(), ", "))
		}
	}
	if c.bed.Logs, err = os.MkdirTemp(c.Dir, "ramen-chaos-"); err != nil {
		return 0, fmt.Errorf("chaos: make a folder: %w", err)
	}
	fmt.Fprintf(out, "chaos: seed %d for %v, %s on %s\n", c.bed.Seed, c.For, c.bed.Cluster.Binary, c.bed.Store)
	c.Only = possible(out, c)
	b, l, err := play(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("%w\nthe members' logs are in %s; the same schedule again: %s", err, c.bed.Logs, c.again())
	}
	r := judge.Judge(l)
	table(out, b, l)
	r.Write(out)
	if !r.OK() {
		judge.WriteViolations(out, l, r, c.Printed)
		fmt.Fprintf(out, "\n%d violations; the members' logs are in %s; the same schedule again: %s\n", len(r.Violations), c.bed.Logs, c.again())
		return 1, nil
	}
	if err := os.RemoveAll(c.bed.Logs); err != nil {
		return 0, fmt.Errorf("chaos: remove logs: %w", err)
	}
	return 0, nil
}

// possible are the faults that can be done to this testbed. It says which are left out, and why.
func possible(out io.Writer, c config) (names []string) {
	without := make(map[string][]string)
	for _, name := range c.Only {
		if why := c.bed.Lacks(name); why != "" {
			without[why] = append(without[why], name)
			continue
		}
		names = append(names, name)
	}
	for _, why := range slices.Sorted(maps.Keys(without)) {
		fmt.Fprintf(out, "left out, since %s: %s\n", why, strings.Join(without[why], ", "))
	}
	return names
}

// again is the command that plays the same schedule once more.
func (c *config) again() string {
	text := fmt.Sprintf("make chaos SEED=%d FOR=%v STORE=%s ONLY=%s", c.bed.Seed, c.For, c.bed.Store, strings.Join(c.Only, ","))
	if c.UpgradeFrom != "" {
		text += " UPGRADE_FROM=" + c.UpgradeFrom
	}
	return text
}

// upgraded is the fault that comes first where there is a previous binary: the cluster has started with that one.
const upgraded = "upgraded"

// play does what the schedule says until the time is over.
func play(ctx context.Context, c config) (*testbed.Bed, *judge.Log, error) {
	if path, err := filepath.Abs(c.bed.Cluster.Binary); err == nil {
		c.bed.Cluster.Binary = path
	}
	if len(c.Only) == 0 {
		return nil, nil, errors.New("chaos: no fault is left that can be done")
	}
	if !slices.Contains(c.Only, upgraded) {
		c.bed.Previous = ""
	}
	began := time.Now()
	b, err := testbed.Start(ctx, c.bed)
	if err != nil {
		return nil, nil, err
	}
	s := newSchedule(c.bed.Seed, c.Only)
	for time.Since(began) < c.For && ctx.Err() == nil && (c.Faults == 0 || len(b.Done()) < c.Faults) {
		if err := b.Inflict(s.next()...); err != nil {
			return nil, nil, errors.Join(err, b.Close())
		}
	}
	l, err := b.Finish()
	return b, l, err
}

// table says what was done, and what publishers and devices saw of it.
func table(out io.Writer, b *testbed.Bed, l *judge.Log) {
	type row struct {
		n          int
		healed     time.Duration
		p99, worst time.Duration
		pushes     int
	}
	rows := make(map[string]*row)
	var names []string
	singles := 0
	for _, d := range b.Done() {
		singles += 1 + strings.Count(d.Name, "+")
		name := d.Name
		if strings.Contains(name, "+") {
			name = "pairs"
		}
		x := rows[name]
		if x == nil {
			x = new(row)
			rows[name] = x
			names = append(names, name)
		}
		y := testbed.LatencyWithin(l, d.From, d.To+d.Healed)
		x.n, x.pushes = x.n+1, x.pushes+y.Pushes
		x.healed, x.p99, x.worst = max(x.healed, d.Healed), max(x.p99, y.P99), max(x.worst, y.Max)
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "%d faults in %d acts\ttimes\thealed within\tpushes\tpublish to push p99\tmost\n", singles, len(b.Done()))
	slices.Sort(names)
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	for _, name := range names {
		x := rows[name]
		fmt.Fprintf(t, "%s\t%d\t%v\t%d\t%v\t%v\n", name, x.n, ms(x.healed), x.pushes, ms(x.p99), ms(x.worst))
	}
	_ = t.Flush()
	fmt.Fprintf(out, "%d answers of who owns what were compared; %d times a gateway lost its lease although nothing was done to it\n", b.Looks(), testbed.LapsesAlone(l))
}
