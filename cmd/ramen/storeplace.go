package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"ramen/internal/app"
	"ramen/internal/stores"
	"ramen/internal/tool/config"
	"ramen/store/driver"
)

// loadStoreConfig is loadConfig for commands that need no more of a server than its store: what they do not use may be wrong, or missing
// (authentication, say).
func loadStoreConfig(file string) (app.Config, error) {
	type sections app.Config // each is valid by itself, or not
	s := sections(app.Default())
	err := config.Load(&s, file, os.Environ(), nil)
	cfg := app.Config(s)
	cfg.Store.Complete(cfg.Data, cfg.Shards, cfg.Gateway.IDRetention)
	return cfg, err
}

// storeFlags are of a command that is about one store.
type storeFlags struct {
	config, passwordFile string
	json                 bool
	timeout              time.Duration
}

func (f *storeFlags) bind(c *cobra.Command, timeout time.Duration) {
	c.Flags().StringVarP(&f.config, "config", "c", fromEnv("RAMEN_CONFIG", ""), "configuration `file` of the server, which names its store")
	c.Flags().StringVar(&f.passwordFile, "password-file", "", "`file` with the password of the user in URL, which can be in URL as well")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	c.Flags().DurationVar(&f.timeout, "timeout", timeout, "how long to wait for the store")
}

// place is the store of URL, or without one that of the configuration.
func (f *storeFlags) place(c *cobra.Command, args []string) (stores.Place, driver.Params, error) {
	cfg, err := loadStoreConfig(f.config)
	if err != nil {
		return stores.Place{}, driver.Params{}, err
	}
	u := cfg.Store.URL
	if len(args) > 0 {
		if u, err = driver.ParseURL(args[0]); err != nil {
			return stores.Place{}, driver.Params{}, err
		}
	}
	base := cfg.StoreParams()
	base.Log = slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	p, err := cfg.Store.PlaceAt(u, f.passwordFile)
	return p, p.Params(base), err
}

// within is the context of a call of the store.
func (f *storeFlags) within(c *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.Context(), f.timeout)
}
