// Package testapp runs the product in the process of a test.
//
// Goroutines: one a running app, which End waits for.
package testapp

import (
	"context"
	"log/slog"
	"os"
	"testing"
	"time"

	"ramen/internal/app"
)

// patience bounds a shutdown. It says nothing about how long one should take.
const patience = 30 * time.Second

// Config is a server in development on a store in memory, on ports that are drawn, with data in a folder of the test's. Where
// authentication is configured, Dev has to be false.
func Config(t testing.TB) app.Config {
	cfg := app.Default()
	cfg.Dev, cfg.Data = true, t.TempDir()
	SetStore(t, &cfg, "memory:")
	cfg.Frontend.DrainTime = time.Millisecond
	cfg.Listen = app.Listen{Devices: "127.0.0.1:0", DevicesGRPC: "127.0.0.1:0", Backends: "127.0.0.1:0", BackendsGRPC: "127.0.0.1:0"}
	return cfg
}

// SetStore has cfg use the store of a URL.
func SetStore(t testing.TB, cfg *app.Config, url string) {
	t.Helper()
	if err := cfg.Store.URL.UnmarshalText([]byte(url)); err != nil {
		t.Fatal(err)
	}
}

// Running is an app that runs.
type Running struct {
	At app.Addresses

	stop  context.CancelFunc
	ended chan error // what Run answered; closed after it
}

// Start starts the product; with RAMEN_SYSTEM_LOG set it logs. The caller ends it.
func Start(t testing.TB, cfg app.Config) *Running {
	t.Helper()
	r, err := TryStart(cfg)
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	return r
}

// TryStart is Start for those that are not in the test's goroutine or thread.
func TryStart(cfg app.Config) (*Running, error) {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("RAMEN_SYSTEM_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	a, err := app.Start(cfg, log)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	r := &Running{At: a.Addresses(), stop: stop, ended: make(chan error, 1)}
	go func() {
		defer close(r.ended)
		r.ended <- a.Run(ctx)
	}()
	return r, nil
}

// Serve is Start of a product that ends with the test.
func Serve(t testing.TB, cfg app.Config) app.Addresses {
	t.Helper()
	r := Start(t, cfg)
	t.Cleanup(func() { r.End(t) })
	return r.At
}

// Stop begins the shutdown.
func (r *Running) Stop() { r.stop() }

// End shuts the product down in order, once: later calls do nothing.
func (r *Running) End(t testing.TB) {
	t.Helper()
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("shutdown: %v", err)
		}
	case <-time.After(patience):
		t.Errorf("the shutdown did not end within %v", patience)
	}
}
