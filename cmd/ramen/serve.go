package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"ramen/frontend/auth"
	"ramen/internal/app"
	"ramen/internal/tool/collector"
	"ramen/internal/tool/config"
)

func serveCommand() *cobra.Command {
	defaults := app.Default()
	var file string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Start the gateway: frontend and gateway in one process, on the embedded store or another.",
		Long: "Start the gateway: frontend and gateway in one process, on the embedded store or another (--store).\n\n" +
			"Every key of the configuration (see: ramen config) is a flag here, RAMEN_* in the environment, and a line of the file\n" +
			"that --config names; a flag overrides a variable, and a variable overrides the file.\n\n" +
			"SIGINT and SIGTERM shut the server down in order; a second one ends it at once. SIGHUP reloads the key and certificate files,\n" +
			"which are also reloaded when they change.",
		Example: "  ramen serve --dev\n  ramen serve --config ramen.yaml\n  ramen serve --config ramen.yaml --log.level debug",
		Args:    cobra.NoArgs,
	}
	c.Flags().StringVarP(&file, "config", "c", fromEnv("RAMEN_CONFIG", ""), "configuration `file` (YAML); RAMEN_CONFIG in the environment")
	bind(c.Flags(), &defaults)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(file, c.Flags())
		if err != nil {
			return err
		}
		log := cfg.Log.NewLogger(c.ErrOrStderr())
		warnOfVariables(log)
		app.Version = version
		a, err := app.Start(cfg, log)
		if err != nil {
			return err
		}
		if !cfg.Dev { // there, closing the terminal ends it
			defer reloadOnHangup(a, log)()
		}
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(a.GoMemory())
		}
		defer tuneCollector()()
		logStart(log, cfg, a.Addresses())
		banner(c.OutOrStdout(), cfg, a.Addresses())
		return a.Run(c.Context())
	}
	return c
}

// tuneCollector has the collector follow what is allocated, unless GOGC says what it is to do, until the function that it
// returns is called.
func tuneCollector() (end func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		collector.Tune(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

// loadConfig is the configuration of file, environment and flags, in rising order.
func loadConfig(file string, flags *pflag.FlagSet) (app.Config, error) {
	cfg := app.Default()
	if err := config.Load(&cfg, file, os.Environ(), flags); err != nil {
		return cfg, err
	}
	return cfg, nil
}

// warnOfVariables names what is taken for somebody else's, in case it was meant for us.
func warnOfVariables(log *slog.Logger) {
	cfg := app.Default()
	names, err := config.IgnoredVariables(&cfg, os.Environ())
	if err == nil && len(names) > 0 {
		log.Warn("environment variables that begin with RAMEN_ match no configuration key and are ignored", "variables", names)
	}
}

func bind(flags *pflag.FlagSet, defaults *app.Config) {
	if err := config.BindFlags(flags, defaults); err != nil {
		panic(err) // two keys of one flag: a mistake in the configuration's types
	}
	flags.SortFlags = false
}

// reloadOnHangup reads the files of keys and certificates anew at each SIGHUP, until the function that it returns is called.
func reloadOnHangup(a *app.App, log *slog.Logger) (end func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-hangups:
				if err := a.Reload(); err != nil {
					log.Error("SIGHUP: a key or certificate file could not be loaded; the earlier one stays in use", "cause", err)
				} else {
					log.Info("SIGHUP: key and certificate files reloaded")
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		cancel()
		<-done
	}
}

// logStart is the record of the start: the banner is for people, and goes to standard output.
func logStart(log *slog.Logger, cfg app.Config, at app.Addresses) {
	log.Info("serving", "version", version, "pid", os.Getpid(), "store", cfg.Store.URL, "data", cfg.Data, "authentication", !cfg.Dev,
		"devices", at.Devices, "devices_grpc", at.DevicesGRPC, "devices_tls", cfg.TLS.Devices.Configured(),
		"backends", at.Backends, "backends_grpc", at.BackendsGRPC, "backends_tls", cfg.TLS.Backends.Configured())
}

// banner says what listens where, and how to see a message arrive. Scripts may read the addresses from it: ports of 0 are
// shown as they were drawn.
func banner(w io.Writer, cfg app.Config, at app.Addresses) {
	if cfg.Clustered() && at.Devices == "" {
		fmt.Fprintf(w, "ramen %s, %s %s of a cluster\n\n  operators  %s://%s   health, metrics\n\n", version, cfg.Role, cfg.Cluster.Name, scheme(cfg.TLS.Backends.Configured()), at.Backends)
		return
	}
	devices, backends := scheme(cfg.TLS.Devices.Configured()), scheme(cfg.TLS.Backends.Configured())
	fmt.Fprintf(w, "ramen %s, %s\n\n", version, where(cfg))
	fmt.Fprintf(w, "  devices    %s://%s   SSE, WebSocket, long-poll\n", devices, at.Devices)
	fmt.Fprintf(w, "             %s   gRPC\n", at.DevicesGRPC)
	fmt.Fprintf(w, "  backends   %s://%s   publish, query, health, metrics\n", backends, at.Backends)
	fmt.Fprintf(w, "             %s   gRPC\n\n", at.BackendsGRPC)
	fmt.Fprintf(w, "  console    %s://%s/   in a browser%s\n\n", backends, browsable(cfg.TLS.Backends, at.Backends), consoleKey(cfg))
	if !cfg.Dev {
		return
	}
	fmt.Fprintf(w, "  WARNING  authentication is OFF (dev): whoever can reach these ports can act as any user and any backend.\n\n")
	if !loopback(at) {
		fmt.Fprintf(w, "  WARNING  and these ports can be reached from other machines, because of the listen addresses.\n\n")
	}
	if loopback(at) && contained() {
		fmt.Fprintf(w, "  NOTE  in a container these addresses can only be reached from inside it. Start it with --network host, or publish the ports\n"+
			"        and listen on all addresses: --listen.devices 0.0.0.0:8080 --listen.devices-grpc 0.0.0.0:8081\n"+
			"        --listen.backends 0.0.0.0:9080 --listen.backends-grpc 0.0.0.0:9081\n\n")
	}
	fmt.Fprintf(w, "See a message arrive. In one terminal:\n\n")
	fmt.Fprintf(w, "  curl -N '%s://%s/ramen/receive?user=alice&device=phone'\n\n", devices, reachable(at.Devices))
	fmt.Fprintf(w, "and in another:\n\n")
	fmt.Fprintf(w, "  curl '%s://%s/v1/publish' -d '{\"user\":\"alice\",\"type\":\"hello\",\"payload\":{\"text\":\"it works\"}}'\n\n", backends, reachable(at.Backends))
}

// where says where the data is.
func where(cfg app.Config) string {
	dir, ok := cfg.Store.Folder(cfg.Data)
	if !ok {
		return "store " + cfg.Store.URL.String()
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return "data in " + dir
}

func scheme(secure bool) string {
	if secure {
		return "https"
	}
	return "http"
}

// consoleKey says what the console asks for.
func consoleKey(cfg app.Config) string {
	if cfg.Dev {
		return ""
	}
	return "; it asks for an API key (ramen token --backend NAME --scopes publish,read makes one)"
}

// browsable is addr as a browser opens it: under TLS by the first name of the certificate, since it is good for no other.
func browsable(certs auth.CertsConfig, addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || !certs.Configured() {
		return reachable(addr)
	}
	pair, err := tls.LoadX509KeyPair(certs.CertFile, certs.KeyFile)
	if err != nil || pair.Leaf == nil || len(pair.Leaf.DNSNames) == 0 {
		return reachable(addr)
	}
	return net.JoinHostPort(strings.Replace(pair.Leaf.DNSNames[0], "*", "ramen", 1), port)
}

// reachable is addr as a client on this machine writes it: a port on every address is one on loopback, too.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}

// contained reports whether this process seems to run in a container of its own: Docker and Podman leave a file there, and others make
// it the first process.
func contained() bool {
	for _, file := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(file); err == nil {
			return true
		}
	}
	return os.Getpid() == 1
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
