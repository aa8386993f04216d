package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"ramen/internal/app"
	"ramen/internal/config"
)

func configCommand() *cobra.Command {
	var check string
	var markdown bool
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the default configuration with comments, or check a file.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			defaults := app.Default()
			switch {
			case check != "":
				if _, err := loadConfig(check, nil); err != nil {
					return err
				}
				fmt.Fprintf(c.OutOrStdout(), "%s: the configuration is good\n", check)
				return nil
			case markdown:
				return config.WriteMarkdown(c.OutOrStdout(), &defaults)
			}
			return config.WriteYAML(c.OutOrStdout(), &defaults)
		},
	}
	c.Flags().StringVar(&check, "check", "", "check this `file`, with RAMEN_* of the environment, instead of printing")
	c.Flags().BoolVar(&markdown, "markdown", false, "print a table in Markdown")
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version.",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { fmt.Fprintln(c.OutOrStdout(), "ramen", version) },
	}
}
