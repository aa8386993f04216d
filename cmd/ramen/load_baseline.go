package main

import (
	"github.com/spf13/cobra"

	"ramen/loadtest/baseline"
	"ramen/loadtest/scenario"
)

// baselineCommand has the scenarios against the baseline server, and that server alone.
func baselineCommand() *cobra.Command {
	c := &cobra.Command{
		Use: "baseline", Aliases: []string{"floor"}, // its former name
		Short: "What this machine costs by itself: the same load against a baseline server that only writes the same bytes.",
		Long: "What this machine costs by itself: the same load against a baseline server (Go, epoll, one goroutine) that writes the same bytes\n" +
			"and does nothing else: no queue, no store, no acks, no tokens. What RAMEN costs above this baseline is its own.",
		Example: "  ramen load baseline idle --transport sse\n  ramen load baseline push --rate 20000\n  ramen load baseline serve",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, name := range scenario.Names() {
		p := scenario.Params{Scenario: name, Transport: "ws"}
		if !p.HasBaseline() {
			continue
		}
		one := scenarioCommand(name)
		_ = one.Flags().Set("serve", "true") // they are flags of its
		_ = one.Flags().Set("baseline", "true")
		c.AddCommand(one)
	}
	c.AddCommand(baselineServeCommand())
	return c
}

func baselineServeCommand() *cobra.Command {
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
