package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"ramen/store/pebble"
	"ramen/store/pebble/control"
)

func storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Back up, verify and repair the embedded store.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(storeBackupCommand(), storeVerifyCommand())
	return c
}

func storeBackupCommand() *cobra.Command {
	var data, file string
	c := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy the store to a new directory, while the server runs or is stopped.",
		Long: "Copy the store to the directory DIR, which is made, or is empty.\n\n" +
			"A running server makes the copy itself, so DIR is a path as the server sees it, and must be writable for its user. The backup\n" +
			"has everything that was accepted before the command began. Where no server runs, the stopped directory is copied.\n\n" +
			"DIR/BACKUP lists all files with their sizes and checksums; it is written last. To restore, copy DIR to an empty data folder, and\n" +
			"start. Devices then get all that waits, as if they had no cursor.",
		Example: "  ramen store backup --data /var/lib/ramen /backup/ramen-$(date +%F)\n  ramen store verify /backup/ramen-$(date +%F)",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			from, err := dataFolder(data, file)
			if err != nil {
				return err
			}
			return backupStore(c.Context(), c.OutOrStdout(), from, args[0])
		},
	}
	c.Flags().StringVar(&data, "data", "", "data `folder` of the server (default: the configuration's, or RAMEN_DATA, or data)")
	c.Flags().StringVarP(&file, "config", "c", fromEnv("RAMEN_CONFIG", ""), "configuration `file` of the server, which names its data folder")
	c.MarkFlagsMutuallyExclusive("data", "config")
	return c
}

// dataFolder is the server's data folder, by flag, file or environment.
func dataFolder(data, file string) (string, error) {
	if data != "" {
		return data, nil
	}
	cfg, err := loadConfig(file, nil)
	return cfg.Data, err
}

func backupStore(ctx context.Context, out io.Writer, data, dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	by := "the running server"
	done, err := control.Backup(ctx, data, dir)
	if errors.Is(err, control.ErrNotRunning) {
		by = "the stopped directory"
		done, err = pebble.BackupStopped(ctx, data, dir)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "backed up %s to %s, from %s: %d files, %d bytes\n", data, dir, by, done.Files, done.Bytes)
	return err
}

func storeVerifyCommand() *cobra.Command {
	var repair bool
	c := &cobra.Command{
		Use:   "verify DIR",
		Short: "Read all of a stopped store, or of a backup, and say what is wrong with it.",
		Long: "Read all of the stopped store, or the backup, in DIR, change nothing, and say what is in it. What is wrong is said, and ends the\n" +
			"command with status 1.\n\n" +
			"With --repair, a store that does not start is made one that does: markers that were lost are made anew where other files say what\n" +
			"they were, and records of the journal that cannot be read are left out. All that is left out is said, and the files as they\n" +
			"were are kept in DIR/damaged-TIME. Tables that are damaged cannot be repaired: restore a backup.",
		Example: "  ramen store verify /backup/ramen-2026-01-31\n  ramen store verify --repair /var/lib/ramen",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if repair {
				if err := repairStore(c.OutOrStdout(), c.ErrOrStderr(), args[0]); err != nil {
					return err
				}
			}
			return verifyStore(c.OutOrStdout(), args[0])
		},
	}
	c.Flags().BoolVar(&repair, "repair", false, "have a damaged store start again without what cannot be read, and keep a copy of it as it was")
	return c
}

func verifyStore(out io.Writer, dir string) error {
	r, err := pebble.Verify(dir)
	what := "store"
	if r.Backup {
		what = "backup"
	}
	for _, n := range r.Notes {
		fmt.Fprintln(out, "journal:", n)
	}
	if errors.Is(err, pebble.ErrInUse) {
		return fmt.Errorf("%w\nOf a running server, verify a backup: ramen store backup --data %s DIR", err, dir)
	}
	if err != nil {
		return fmt.Errorf("%w\nA damaged store is restored from a backup; what can be saved without one: ramen store verify --repair %s", err, dir)
	}
	_, err = fmt.Fprintf(out, "%s in %s is good: %d messages wait (and %d have expired) for %d users with %d devices; format %d, epoch %d, %d records in %d segments of the journal\n",
		what, dir, r.Messages, r.Expired, r.Users, r.Devices, r.Format, r.Epoch, r.Records, r.Segments)
	return err
}

func repairStore(out, errOut io.Writer, dir string) error {
	r, err := pebble.Repair(dir, slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelWarn})))
	for _, line := range r.Did {
		fmt.Fprintln(out, "repaired:", line)
	}
	for _, line := range r.Lost {
		fmt.Fprintln(out, "LOST:", line)
	}
	if r.Copy != "" {
		fmt.Fprintln(out, "the files as they were are in", r.Copy)
	}
	if err == nil && len(r.Did)+len(r.Lost) == 0 {
		fmt.Fprintln(out, cmp.Or(r.Copy, "there was nothing to repair"))
	}
	return err
}
