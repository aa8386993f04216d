package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"ramen/internal/app"
	"ramen/internal/tool/config"
)

func configCommand() *cobra.Command {
	var check, file string
	var markdown, effective bool
	c := &cobra.Command{
		Use:   "config",
		Short: "Print the configuration with comments, or check a configuration file.",
		Long: "Print the default configuration with comments, as a file to start from.\n\n" +
			"With --effective, print the configuration that serve would use: the defaults, changed by the file of --config and by RAMEN_* in the\n" +
			"environment.\n" +
			"With --check, check whether serve would start with a file: its values, the key and certificate files that it names, its\n" +
			"store and its ports. Nothing is changed.",
		Example: "  ramen config > ramen.yaml\n  ramen config --check ramen.yaml\n  ramen config --effective --config ramen.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case check != "":
				return checkConfig(c, check)
			case effective:
				cfg, err := loadConfig(file, nil)
				if err != nil {
					return err
				}
				return config.WriteYAML(c.OutOrStdout(), &cfg)
			case c.Flags().Changed("config"):
				return errors.New("config: --config needs --effective; to check a file, use --check")
			}
			defaults := app.Default()
			if markdown {
				return config.WriteMarkdown(c.OutOrStdout(), &defaults)
			}
			return config.WriteYAML(c.OutOrStdout(), &defaults)
		},
	}
	c.Flags().StringVar(&check, "check", "", "check this `file`, with RAMEN_* of the environment, instead of printing")
	c.Flags().BoolVar(&effective, "effective", false, "print the configuration that serve would use, instead of the defaults")
	c.Flags().StringVarP(&file, "config", "c", fromEnv("RAMEN_CONFIG", ""), "configuration `file` (YAML), for --effective; RAMEN_CONFIG in the environment")
	c.Flags().BoolVar(&markdown, "markdown", false, "print a table in Markdown")
	c.MarkFlagsMutuallyExclusive("check", "effective", "markdown")
	return c
}

func checkConfig(c *cobra.Command, file string) error {
	cfg, err := loadConfig(file, nil)
	if err != nil {
		return err
	}
	running, err := app.Check(cfg, cfg.Log.NewLogger(c.ErrOrStderr()))
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s: the configuration is good\n", file)
	if running {
		if dir, ok := cfg.Store.Folder(cfg.Data); ok {
			fmt.Fprintf(c.OutOrStdout(), "A process that uses the data in %s is running: ports in use are taken to be its own, and a second process cannot start with the same data.\n", dir)
		} else {
			fmt.Fprintf(c.OutOrStdout(), "A process that uses the store %s is running: ports in use are taken to be its own.\n", cfg.Store.URL)
		}
	}
	return nil
}
