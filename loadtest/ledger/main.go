package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"ramen/loadtest/ledger/judge"
)

// config is what a run does.
type config struct {
	Binary   string // ramen
	Race     bool   // build one with the race detector, instead of Binary
	Store    string // URL; the server then starts on an empty folder each time. Empty: the embedded store
	Cache    string // URL, before Store
	Dir      string // data goes into a new folder here, removed at the end of a run without violations
	Seed     uint64
	Kills    int           // at least so many
	Accept   int           // at least so many messages
	For      time.Duration // and no longer than this, the end not counted
	MinLife  time.Duration // of a server between its start and its kill
	MaxLife  time.Duration
	Users    int
	Pause    time.Duration // of a publisher between two batches
	Quiet    time.Duration // so long without a push means that a device has all
	Printed  int           // violations of each kind
	Progress io.Writer
}

// mostFor is well below the 30 minutes that a message lives whose publisher named no ttl.
const mostFor = 20 * time.Minute

func defaults() config {
	return config{
		Binary: "bin/ramen", Kills: 100, Accept: 300_000, For: 9 * time.Minute, MinLife: 300 * time.Millisecond, MaxLife: 3 * time.Second,
		Users: 48, Pause: 40 * time.Millisecond, Quiet: 3 * time.Second, Printed: 3, Progress: os.Stderr, Dir: ".",
	}
}

func main() {
	c := defaults()
	flag.StringVar(&c.Binary, "binary", c.Binary, "the ramen to test")
	flag.BoolVar(&c.Race, "race", c.Race, "build the ramen of this folder's module with the race detector, and test that")
	flag.StringVar(&c.Store, "store", "", "URL of a store that is elsewhere and ready (ramen store init): each start finds an empty folder, so that all that comes back is the store's; users' names are new in each run")
	flag.StringVar(&c.Cache, "cache", "", "URL of a cache before it")
	flag.StringVar(&c.Dir, "dir", c.Dir, "where the server's data goes, in a new folder; a disk")
	flag.Uint64Var(&c.Seed, "seed", rand.Uint64(), "of all that is random here; what server and system do is not")
	flag.IntVar(&c.Kills, "kills", c.Kills, "kill -9 at least so often")
	flag.IntVar(&c.Accept, "accept", c.Accept, "publish until so many messages are accepted")
	flag.DurationVar(&c.For, "for", c.For, "publish no longer than this")
	flag.DurationVar(&c.MinLife, "min-life", c.MinLife, "shortest time between a start and a kill")
	flag.DurationVar(&c.MaxLife, "max-life", c.MaxLife, "longest time between a start and a kill")
	flag.IntVar(&c.Users, "users", c.Users, "users, with 1 to 4 devices each")
	flag.DurationVar(&c.Pause, "pause", c.Pause, "of each of the 8 publishers between two batches of 1 to 40")
	flag.IntVar(&c.Printed, "print", c.Printed, "violations of each kind to print with their histories")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	status, err := ledger(ctx, c, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		status = 2
	}
	stop()
	os.Exit(status)
}

// ledger makes a run, judges it, and answers the exit status: 1 where a promise was broken or the run came short of its aim.
func ledger(ctx context.Context, c config, out io.Writer) (int, error) {
	if c.Users < 1 || c.MaxLife < c.MinLife || c.Kills < 0 {
		return 0, fmt.Errorf("ledger: users are 1 or more, kills 0 or more, and max-life is not below min-life")
	}
	if c.For > mostFor {
		return 0, fmt.Errorf("ledger: for is %v: at most %v, so that no message without a ttl expires", c.For, mostFor)
	}
	dir, err := os.MkdirTemp(c.Dir, "ramen-ledger-")
	if err != nil {
		return 0, fmt.Errorf("ledger: make a folder: %w", err)
	}
	if c.Race {
		if c.Binary, err = buildRace(ctx, dir); err != nil {
			return 0, err
		}
	}
	fmt.Fprintf(out, "ledger: seed %d, %s%s\n", c.Seed, c.Binary, c.where())
	began := time.Now()
	log, err := observeRun(ctx, c, dir)
	if err != nil {
		return 0, err
	}
	r := judge.Judge(log)
	r.Write(out)
	fmt.Fprintf(out, "in %v\n", time.Since(began).Round(time.Second))
	short := r.Accepted < c.Accept || r.Kills < c.Kills
	if !r.OK() {
		judge.WriteViolations(out, log, r, c.Printed)
		fmt.Fprintf(out, "\n%d violations. The server's data and log are in %s\n", len(r.Violations), dir)
		return 1, nil
	}
	if short {
		fmt.Fprintf(out, "nothing is wrong, but the run was cut short: %d kills and %d messages were the aim\n", c.Kills, c.Accept)
	}
	if err := os.RemoveAll(dir); err != nil {
		return 0, fmt.Errorf("ledger: remove the server's data: %w", err)
	}
	if short {
		return 1, nil
	}
	return 0, nil
}

// where says on which store, without what may be a secret in its URL.
func (c *config) where() string {
	u, err := url.Parse(c.Store)
	if c.Store == "" || err != nil {
		return ""
	}
	return ", on " + u.Scheme + "://" + u.Host + u.Path
}

// buildRace builds the server with the race detector.
func buildRace(ctx context.Context, dir string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, "ramen-race"))
	if err != nil {
		return "", fmt.Errorf("ledger: build the server: %w", err)
	}
	build := exec.CommandContext(ctx, "go", "build", "-race", "-o", path, "ramen/cmd/ramen")
	if said, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("ledger: build the server: %w: %s", err, said)
	}
	return path, nil
}
