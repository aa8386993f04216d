package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ramen/internal/testserver"
	"ramen/loadtest/machine"
	"ramen/loadtest/report"
)

// config is what a run does.
type config struct {
	Binary   string
	Dir      string   // where servers' data goes, on a disk
	Sites    []string // names
	Parts    []string // likewise
	Rounds   int
	For      time.Duration // of each push that is measured
	Rates    []float64     // of pushes, messages a second
	NodeRate float64       // while a node is stopped
	Streams  int           // of a push
	Returned int           // devices that come back at once
	JSON     string        // files of the reports; empty: none
	HTML     string
}

// partNames are what can be measured, in the order in which it is.
var partNames = []string{"push", "load", "takeover", "node", "return"}

func main() {
	c := config{}
	sites, parts, rates := "", "", ""
	flag.StringVar(&c.Binary, "binary", "bin/ramen", "the ramen to measure")
	flag.StringVar(&c.Dir, "dir", ".", "where the server's data goes, in a new folder; a disk")
	flag.StringVar(&sites, "store", strings.Join(siteNames, ","), "the stores, with commas between them; the first of them is what others are compared with")
	flag.StringVar(&parts, "part", strings.Join(partNames, ","), "what to measure: push, load (users whose messages wait), takeover (of two servers on one store), node (one of three is stopped), return (devices at once)")
	flag.IntVar(&c.Rounds, "rounds", 2, "how often each store has its turn at push and load")
	flag.DurationVar(&c.For, "for", 5*time.Second, "how long to measure each push")
	flag.StringVar(&rates, "rate", "2000,10000", "messages a second of pushes, with commas between them")
	flag.Float64Var(&c.NodeRate, "node-rate", 1000, "messages a second while a node is stopped")
	flag.IntVar(&c.Streams, "streams", 1000, "streams of a push")
	flag.IntVar(&c.Returned, "devices", 15000, "devices that come back at once")
	flag.StringVar(&c.JSON, "json", "", "write all results to this `file` as JSON")
	flag.StringVar(&c.HTML, "html", "", "write a page with plots to this `file`")
	flag.Parse()
	c.Sites, c.Parts = strings.Split(sites, ","), strings.Split(parts, ",")
	for text := range strings.SplitSeq(rates, ",") {
		rate, err := strconv.ParseFloat(text, 64)
		if err != nil || rate <= 0 {
			fmt.Fprintf(os.Stderr, "stores: %q is no rate: use messages a second over 0\n", text)
			os.Exit(2)
		}
		c.Rates = append(c.Rates, rate)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	violated, err := measure(ctx, &c)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case violated > 0:
		fmt.Fprintf(os.Stderr, "stores: the contract was violated %d times; see above\n", violated)
		os.Exit(1)
	}
}

// measure makes all parts, and answers how many promises were not kept.
func measure(ctx context.Context, c *config) (violated int64, err error) {
	if err := errors.Join(known(c.Sites, siteNames, "store"), known(c.Parts, partNames, "part")); err != nil {
		return 0, err
	}
	version, err := exec.CommandContext(ctx, c.Binary, "version").Output()
	if err != nil {
		return 0, fmt.Errorf("stores: ask %s for its version: %w", c.Binary, err)
	}
	h := testserver.NewProgram("stores", os.Stderr)
	defer func() { err = errors.Join(err, h.Close()) }()
	b := &bench{c: c, h: h, out: os.Stdout, all: report.Report{
		Command: strings.Join(os.Args, " "), Version: strings.TrimSpace(string(version)), Machine: machine.Describe(c.Dir), Began: time.Now(),
	}}
	if err := testserver.Do(func() { b.sites = sites(h, c) }); err != nil {
		return 0, err
	}
	fmt.Fprintf(b.out, "%s, %s\n\n%s\n", b.all.Began.Format("2006-01-02 15:04 MST"), b.all.Version, b.all.Machine)
	if perr := testserver.Do(func() { err = b.run(ctx) }); perr != nil {
		err = perr
	}
	return b.all.Violated(), errors.Join(err, b.write())
}

// write writes the reports' files.
func (b *bench) write() (err error) {
	if b.c.JSON != "" {
		err = b.all.WriteFile(b.c.JSON, b.all.WriteJSON)
	}
	if b.c.HTML != "" {
		err = errors.Join(err, b.all.WriteFile(b.c.HTML, b.all.WriteHTML))
	}
	return err
}
