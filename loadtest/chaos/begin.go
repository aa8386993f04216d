package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"ramen/internal/localcluster"
	"ramen/internal/netspace"
)

// previousVariable names the binary before for the process that Relocated starts, which has no network to fetch modules from.
const previousVariable = "RAMEN_CHAOS_PREVIOUS"

// begin builds the binary before, and makes the run in a network of its own, where that is possible.
func begin(ctx context.Context, c config) (status int, err error) {
	if netspace.Inside() {
		return inside(ctx, c)
	}
	dir, err := os.MkdirTemp("", "ramen-chaos-")
	if err != nil {
		return 0, fmt.Errorf("chaos: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if slices.Contains(c.Only, upgraded) {
		if c.bed.Previous, err = previous(ctx, &c, dir); err != nil {
			return 0, err
		}
	}
	status, err = netspace.Relocated(previousVariable + "=" + c.bed.Previous)
	if !errors.Is(err, netspace.ErrNoSpaces) {
		return status, err
	}
	fmt.Fprintf(os.Stdout, "chaos: all members are at 127.0.0.1: %v\n", err)
	return chaos(ctx, c, os.Stdout)
}

// inside is the run in a network namespace of its own.
func inside(ctx context.Context, c config) (status int, err error) {
	c.bed.Previous = os.Getenv(previousVariable)
	if err := netspace.Setup(); err != nil {
		return 0, err
	}
	if c.bed.Network, err = netspace.NewNetwork(); err != nil {
		return 0, err
	}
	status, err = chaos(ctx, c, os.Stdout)
	return status, errors.Join(err, c.bed.Network.Close())
}

// previous builds the binary before; empty: there is none that could be, and none was asked for.
func previous(ctx context.Context, c *config, dir string) (binary string, err error) {
	commit := c.UpgradeFrom
	if commit == "" {
		commit = "HEAD~1"
	}
	binary, name, err := localcluster.BuildCommit(ctx, commit, dir)
	if errors.Is(err, localcluster.ErrNoCommit) && c.UpgradeFrom == "" {
		fmt.Fprintf(os.Stdout, "chaos: no upgrade: %v\n", err)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	fmt.Fprintf(os.Stdout, "chaos: upgrades from %s\n", name)
	return binary, nil
}
