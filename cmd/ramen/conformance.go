package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"ramen/clients/conformance"
)

func conformanceCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "conformance",
		Short: "Show whether a client keeps to clients/SPEC.md.",
		Long:  "Show whether a client keeps to clients/SPEC.md: a scripted server that behaves badly, and scenarios for it. See clients/conformance/README.md.",
	}
	c.AddCommand(conformanceRunCommand(), conformanceServeCommand())
	return c
}

func conformanceRunCommand() *cobra.Command {
	o := conformance.Options{Parallel: 24, Slack: 10 * time.Second}
	c := &cobra.Command{
		Use:   "run --adapter COMMAND",
		Short: "Play scenarios to a client by its adapter, and print a table.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if o.Adapter == "" {
				return errors.New("conformance: --adapter is missing: give the command that starts the client's adapter")
			}
			res, err := conformance.Run(c.Context(), o, c.ErrOrStderr())
			if err != nil {
				return err
			}
			res.WriteTable(c.OutOrStdout())
			if n := res.Failed(); n > 0 {
				return fmt.Errorf("conformance: %d runs failed", n)
			}
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVar(&o.Adapter, "adapter", "", "command that starts the adapter")
	fl.StringSliceVar(&o.Only, "only", nil, "scenarios by name")
	fl.StringSliceVar(&o.Transports, "transport", nil, "transports by name")
	fl.IntVar(&o.Parallel, "parallel", o.Parallel, "runs at the same time")
	fl.DurationVar(&o.Slack, "slack", o.Slack, "what a busy machine may add to times")
	fl.BoolVarP(&o.Verbose, "verbose", "v", false, "print all that was said in runs that passed, too")
	return c
}

func conformanceServeCommand() *cobra.Command {
	var scenario, transport string
	c := &cobra.Command{
		Use:   "serve --scenario NAME",
		Short: "Play the server's part of one scenario to whoever comes.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := conformance.Serve(c.Context(), scenario, transport, c.OutOrStdout())
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		},
	}
	c.Flags().StringVar(&scenario, "scenario", "", "which one")
	c.Flags().StringVar(&transport, "transport", "sse", "for the record")
	return c
}
