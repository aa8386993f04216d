package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ramen/internal/app"
	"ramen/internal/config"
)

func serveCommand() *cobra.Command {
	defaults := app.Default()
	var file string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Start the gateway: frontend, gateway and embedded store in one process.",
		Long: "Start the gateway: frontend, gateway and embedded store in one process.\n\n" +
			"Every key of the configuration (see: ramen config) is a flag here, RAMEN_* in the environment, and a line of the file\n" +
			"that --config names; a flag goes before a variable, and a variable before the file.",
		Args: cobra.NoArgs,
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration file (YAML)")
	bind(c.Flags(), &defaults)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(file, c.Flags())
		if err != nil {
			return err
		}
		log := cfg.Log.NewLogger(os.Stderr)
		a, err := app.Start(cfg, log)
		if err != nil {
			return err
		}
		banner(os.Stdout, cfg, a.Addresses())
		return a.Run(c.Context())
	}
	return c
}

// loadConfig is the configuration of file, environment and flags, in rising order.
func loadConfig(file string, flags *pflag.FlagSet) (app.Config, error) {
	cfg := app.Default()
	if err := config.Load(&cfg, file, os.Environ(), flags); err != nil {
		return cfg, err
	}
	return cfg, nil
}

func bind(flags *pflag.FlagSet, defaults *app.Config) {
	if err := config.BindFlags(flags, defaults); err != nil {
		panic(err) // two keys of one flag: a mistake in the configuration's types
	}
	flags.SortFlags = false
}

// banner says what listens where, and how to see a message arrive.
func banner(w io.Writer, cfg app.Config, at app.Addresses) {
	scheme := func(on bool) string {
		if on {
			return "https"
		}
		return "http"
	}
	data, err := filepath.Abs(cfg.Data)
	if err != nil {
		data = cfg.Data
	}
	devices, backends := scheme(cfg.TLS.Devices.Configured()), scheme(cfg.TLS.Backends.Configured())
	fmt.Fprintf(w, "ramen %s, data in %s\n\n", version, data)
	fmt.Fprintf(w, "  devices    %s://%s   SSE, WebSocket, long-poll\n", devices, at.Devices)
	fmt.Fprintf(w, "             %s   gRPC\n", at.DevicesGRPC)
	fmt.Fprintf(w, "  backends   %s://%s   publish, query, health, metrics\n", backends, at.Backends)
	fmt.Fprintf(w, "             %s   gRPC\n\n", at.BackendsGRPC)
	if !cfg.Dev {
		return
	}
	fmt.Fprintf(w, "  WARNING  authentication is OFF (dev): whoever reaches these ports is every user and every backend.\n\n")
	if !loopback(at) {
		fmt.Fprintf(w, "  WARNING  and they are reached from other machines, since listen says so.\n\n")
	}
	fmt.Fprintf(w, "See a message arrive. In one terminal:\n\n")
	fmt.Fprintf(w, "  curl -N '%s://%s/ramen/receive?user=alice&device=phone'\n\n", devices, at.Devices)
	fmt.Fprintf(w, "and in another:\n\n")
	fmt.Fprintf(w, "  curl '%s://%s/v1/publish' -d '{\"user\":\"alice\",\"type\":\"hello\",\"payload\":{\"text\":\"it works\"}}'\n\n", backends, at.Backends)
}

func loopback(at app.Addresses) bool {
	for _, a := range []string{at.Devices, at.DevicesGRPC, at.Backends, at.BackendsGRPC} {
		host, _, _ := net.SplitHostPort(a)
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			return false
		}
	}
	return true
}
