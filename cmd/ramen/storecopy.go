package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ramen/internal/app"
	"ramen/internal/stores"
	"ramen/store"
	"ramen/store/driver"
	"ramen/store/transfer"
)

// copyFlags are of store copy.
type copyFlags struct {
	config                     string
	fromPassword, passwordFile string
	mix, json                  bool
	timeout                    time.Duration
}

func storeCopyCommand() *cobra.Command {
	var f copyFlags
	c := &cobra.Command{
		Use:   "copy FROM TO",
		Short: "Copy what lives in one store to another: messages, devices, remembered ids.",
		Long: "Copy all messages, devices and remembered ids of the store FROM to the store TO, both URLs, and compare both by position, id and\n" +
			"content at the end. Stop the server that uses FROM first. Where FROM is reached over a network, a server that still runs loses it.\n\n" +
			"A new TO takes the identity of FROM: devices go on at their cursors. Once all is compared, FROM gets another identity.\n" +
			"A copy that was interrupted goes on when the command is repeated. A TO with other data is refused; with --mix, what FROM has is put\n" +
			"behind what TO has: then devices of FROM are not resumed, and messages may come twice.\n\n" +
			"The number of shards must be that of both stores, and the retention of ids the servers': --config names them.",
		Example: "  ramen store copy pebble:/var/lib/ramen redis://10.0.0.1:6379/0 --config ramen.yaml",
		Args:    cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			result, err := f.copy(c, args[0], args[1])
			if f.json && result.Epoch > 0 {
				return errors.Join(writeJSON(c.OutOrStdout(), result), err)
			}
			if err != nil {
				return err
			}
			return tellCopied(c.OutOrStdout(), result)
		},
	}
	c.Flags().StringVarP(&f.config, "config", "c", fromEnv("RAMEN_CONFIG", ""), "configuration `file` of the servers")
	c.Flags().StringVar(&f.fromPassword, "from-password-file", "", "`file` with the password of the user in FROM, which can be in FROM as well")
	c.Flags().StringVar(&f.passwordFile, "to-password-file", "", "`file` with the password of the user in TO, which can be in TO as well")
	c.Flags().BoolVar(&f.mix, "mix", false, "go on where TO has other data")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	c.Flags().DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to wait for each store to be opened")
	return c
}

func (f *copyFlags) copy(c *cobra.Command, from, to string) (transfer.Result, error) {
	var none transfer.Result
	cfg, err := loadStoreConfig(f.config)
	if err != nil {
		return none, err
	}
	if err := hasFolder(&cfg, from); err != nil {
		return none, err
	}
	log := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	source, err := f.open(c.Context(), &cfg, from, f.fromPassword, log)
	if err != nil {
		return none, fmt.Errorf("open FROM: %w", err)
	}
	target, err := f.open(c.Context(), &cfg, to, f.passwordFile, log)
	if err != nil {
		return none, errors.Join(fmt.Errorf("open TO: %w", err), source.Close())
	}
	var count transfer.Count
	end := showProgress(c.ErrOrStderr(), &count)
	result, err := transfer.Copy(c.Context(), transfer.Config{
		From: source, To: target, Shards: cfg.Shards, Retention: cfg.Gateway.IDRetention, Mix: f.mix, Count: &count,
	})
	end()
	return result, errors.Join(err, target.Close(), source.Close())
}

// open opens the store of a URL, unmeasured.
func (f *copyFlags) open(ctx context.Context, cfg *app.Config, url, passwordFile string, log *slog.Logger) (store.Store, error) {
	p, err := placeAt(cfg, url, passwordFile)
	if err != nil {
		return nil, err
	}
	if p.Volatile {
		return nil, fmt.Errorf("the store %s is in the memory of a process: nothing can be copied from or to it", p.URL)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	base := cfg.StoreParams()
	base.Log = log
	return p.Open(ctx, p.Params(base))
}

func placeAt(cfg *app.Config, url, passwordFile string) (stores.Place, error) {
	u, err := driver.ParseURL(url)
	if err != nil {
		return stores.Place{}, err
	}
	return cfg.Store.PlaceAt(u, passwordFile)
}

// hasFolder refuses a source in a folder that is not there: to open it would make a new store.
func hasFolder(cfg *app.Config, url string) error {
	u, err := driver.ParseURL(url)
	if err != nil {
		return err
	}
	at := stores.Config{URL: u}
	if dir, ok := at.Folder(cfg.Data); ok {
		if _, err := os.Stat(dir); err != nil {
			return fmt.Errorf("open FROM: %w", err)
		}
	}
	return nil
}

func tellCopied(out io.Writer, r transfer.Result) error {
	cursors := "devices go on at their cursors"
	if !r.Cursors {
		cursors = "devices are not resumed, and get all that waits"
	}
	_, err := fmt.Fprintf(out, "copied and compared: %d messages, %d devices and %d ids of %d users; %d users were written, %d messages have expired; epoch %d; %s\n",
		r.Messages, r.Devices, r.IDs, r.Users, r.Written, r.Expired, r.Epoch, cursors)
	return err
}

// How often progress is shown, and how wide its bar is, in characters.
const (
	progressEvery = 200 * time.Millisecond
	progressWidth = 30
)

// showProgress shows how far count is on a terminal, in one line, until end is called; elsewhere nothing.
func showProgress(out io.Writer, count *transfer.Count) (end func()) {
	file, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return func() {}
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintf(file, "\r\x1b[K%s", progressLine(count))
			case <-stop:
				fmt.Fprint(file, "\r\x1b[K")
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-done
	}
}

// progressLine is one line of what is done.
func progressLine(count *transfer.Count) string {
	phase := "preparing"
	if p := count.Phase.Load(); p != nil {
		phase = *p
	}
	users, of := count.Users.Load(), count.Of.Load()
	if of == 0 {
		return fmt.Sprintf("%s: %d users", phase, users)
	}
	full := min(int(users*progressWidth/of), progressWidth)
	bar := make([]byte, progressWidth)
	for i := range bar {
		bar[i] = " #"[min(1, max(0, full-i))]
	}
	return fmt.Sprintf("%s [%s] %d%%, %d of %d users", phase, bar, min(users*100/of, 100), users, of)
}
