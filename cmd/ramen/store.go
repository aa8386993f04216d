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

	"ramen/store/control"
	"ramen/store/pebble"
)

func storeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "store",
		Short: "Check, prepare and copy stores; back up, verify and repair the embedded one.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(storeCheckCommand(), storeInitCommand(), storeSchemaCommand(), storeCopyCommand(), storeBackupCommand(), storeVerifyCommand())
	return c
}

func storeBackupCommand() *cobra.Command {
	var data, file string
	c := &cobra.Command{
		Use:   "backup DIR",
		Short: "Copy the store to a new directory, while the server runs or is stopped.",
		Long: "Copy the store to the directory DIR, which must be empty or not exist.\n\n" +
			"A running server makes the copy itself: DIR is a path on its file system, and must be writable for its user. The backup has\n" +
			"everything that was accepted before the command began. If no server runs, the command copies the data folder.\n\n" +
			"DIR/BACKUP lists all files with their sizes and checksums, and is written last. To restore, copy DIR to an empty data folder and\n" +
			"start the server. Devices then get all waiting messages, as if they had no cursor.",
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
	cfg, err := loadStoreConfig(file)
	if err != nil {
		return "", err
	}
	dir, ok := cfg.Store.Folder(cfg.Data)
	if !ok {
		return "", fmt.Errorf("the store is %s, which has no folder here: back it up with its own tools, or name a data folder by --data", cfg.Store.URL)
	}
	return dir, nil
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
		Short: "Check a stopped store or a backup, and report what is wrong.",
		Long: "Read the whole stopped store or backup in DIR, and report what it holds. Nothing is changed. If something is wrong, it is reported\n" +
			"and the exit status is 1.\n\n" +
			"With --repair, make a damaged store start again: lost markers are restored where other files have their contents, and records of\n" +
			"the journal that cannot be read are dropped and reported. The original files are kept in DIR/damaged-TIME. Damaged tables cannot\n" +
			"be repaired: restore a backup.",
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
	c.Flags().BoolVar(&repair, "repair", false, "repair a damaged store: drop what cannot be read, and keep a copy of the original files")
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
		return fmt.Errorf("%w\nTo check a running server's data, verify a backup: ramen store backup --data %s DIR", err, dir)
	}
	if err != nil {
		return fmt.Errorf("%w\nRestore a damaged store from a backup. Without one, save what can be read: ramen store verify --repair %s", err, dir)
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
		fmt.Fprintln(out, "the original files are in", r.Copy)
	}
	if err == nil && len(r.Did)+len(r.Lost) == 0 {
		fmt.Fprintln(out, cmp.Or(r.Copy, "nothing to repair"))
	}
	return err
}
