package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ramen/loadtest/machine"
)

func main() {
	if os.Getenv(attackerVariable) != "" {
		if err := beAttacker(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	c := config{}
	flag.StringVar(&c.Binary, "binary", "bin/ramen", "the ramen to attack")
	flag.StringVar(&c.Dir, "dir", ".", "where servers' data goes, in new folders; a disk")
	flag.DurationVar(&c.For, "for", 8*time.Second, "how long each flood lasts")
	flag.BoolVar(&c.Short, "short", false, "small attacks, as in the tests")
	only := flag.String("only", "", "the attacks whose names begin with one of these, with commas; empty: all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	good, err := run(ctx, c, *only)
	stop()
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case !good:
		os.Exit(1)
	}
}

// run tries all chosen attacks one after another, and prints their table.
func run(ctx context.Context, c config, only string) (good bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, fmt.Errorf("attack: find this program: %w", err)
	}
	c.Self = []string{self}
	if c.Binary, err = filepath.Abs(c.Binary); err != nil {
		return false, fmt.Errorf("attack: find the server's program: %w", err)
	}
	machine.Descriptors()
	began := time.Now()
	var rows []*row
	for _, a := range attacks {
		if !chosen(a.name, only) || ctx.Err() != nil {
			continue
		}
		r := try(ctx, c, a)
		rows = append(rows, r)
		fmt.Fprintf(os.Stderr, "%-22s %4d MB  %6v  %6v %s\n", a.name, r.Memory>>20, r.Silence.Round(10*time.Millisecond), r.P99.Round(time.Millisecond), r.missed())
	}
	if len(rows) == 0 {
		return false, errors.Join(fmt.Errorf("attack: no attack's name begins with one of %q", only), ctx.Err())
	}
	good = write(os.Stdout, rows)
	fmt.Printf("\n%d attacks of %v each in %v\n", len(rows), c.For, time.Since(began).Round(time.Second))
	return good, ctx.Err()
}

func chosen(name, only string) bool {
	if only == "" {
		return true
	}
	for prefix := range strings.SplitSeq(only, ",") {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
