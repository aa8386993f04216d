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
		Short: "Print the configuration with comments, or check a file.",
		Long: "Print the default configuration with comments: a file to begin with.\n\n" +
			"With --effective, print what serve would go by: the file of --config, and RAMEN_* of the environment, over the defaults.\n" +
			"With --check, say whether serve would start with a file: its values, the key and certificate files that it names, the\n" +
			"folder of its data and its ports are looked at, and nothing is changed.",
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
				return errors.New("config: --config goes with --effective; to check a file: --check")
			}
			defaults := app.Default()
			if markdown {
				return config.WriteMarkdown(c.OutOrStdout(), &defaults)
			}
			return config.WriteYAML(c.OutOrStdout(), &defaults)
		},
	}
	c.Flags().StringVar(&check, "check", "", "check this `file`, with RAMEN_* of the environment, instead of printing")
	c.Flags().BoolVar(&effective, "effective", false, "print what serve would go by, instead of the defaults")
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
		fmt.Fprintf(c.OutOrStdout(), "A process is running with its data, %s: ports that are in use were taken for its own, and another one cannot be started beside it.\n", cfg.Data)
	}
	return nil
}
