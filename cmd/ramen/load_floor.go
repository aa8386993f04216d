package main

import (
	"github.com/spf13/cobra"

	"ramen/loadtest/baseline"
	"ramen/loadtest/scenario"
)

// floorCommand has the scenarios against the baseline server, and that server alone.
func floorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "floor",
		Short: "What this machine costs by itself: the same load against a baseline server that only writes the same bytes.",
		Long: "What this machine costs by itself: the same load against a baseline server (Go, epoll, one goroutine) that writes the same bytes\n" +
			"and does nothing else: no queue, no store, no acks, no tokens. What RAMEN costs above this floor is its own.",
		Example: "  ramen load floor idle --transport sse\n  ramen load floor push --rate 20000\n  ramen load floor serve",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, name := range scenario.Names() {
		p := scenario.Params{Scenario: name, Transport: "ws"}
		if !p.HasFloor() {
			continue
		}
		one := scenarioCommand(name)
		_ = one.Flags().Set("serve", "true") // they are flags of its
		_ = one.Flags().Set("floor", "true")
		c.AddCommand(one)
	}
	c.AddCommand(floorServeCommand())
	return c
}

func floorServeCommand() *cobra.Command {
	cfg := baseline.Default()
	c := &cobra.Command{
		Use:   "serve",
		Short: "the baseline server alone",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return baseline.Serve(c.Context(), cfg, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&cfg.Devices, "devices", cfg.Devices, "where devices connect, host:port; port 0 picks a free one")
	c.Flags().StringVar(&cfg.Backends, "backends", cfg.Backends, "where publishers connect, host:port; port 0 picks a free one")
	c.Flags().DurationVar(&cfg.Heartbeat, "heartbeat", cfg.Heartbeat, "interval of heartbeats where a device asks for none")
	return c
}
