package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"
	"golang.org/x/term"

	"ramen/loadtest"
	"ramen/loadtest/scenario"
	"ramen/loadtest/workers"
)

// loadFlags is what ramen load is asked for.
type loadFlags struct {
	cfg                        loadtest.Config
	p                          scenario.Params
	jsonFile, htmlFile, secret string
	quiet, table               bool
}

func loadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "load",
		Short: "Load-test a server, and check that it keeps the contract.",
		Long: "Load-test a server, and check that it keeps the contract: every accepted message arrives, in order, and heartbeats are on time.\n\n" +
			"With --serve, a server is started for the test on one processor, with its data on a disk, and the load runs on the others.\n" +
			"The exit status is 1 if the contract was violated; each violation is listed.",
		Example: "  ramen load idle --serve --transport sse\n  ramen load push --serve --rate 20000 --html push.html\n" +
			"  ramen load churn --url https://push.example.com --backends https://internal:9443 --secret-file secret\n  ramen load run nightly.yaml",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	for _, name := range scenario.Names() {
		c.AddCommand(scenarioCommand(name))
	}
	c.AddCommand(loadFileCommand(), baselineCommand(), workerCommand())
	return c
}

func scenarioCommand(name string) *cobra.Command {
	f := loadFlags{p: scenario.Params{Scenario: name}}
	about := scenario.About(name)
	c := &cobra.Command{
		Use:   name,
		Short: about,
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			f.cfg.Scenarios = []scenario.Params{f.p}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.bind(c.Flags())
	bindScenario(c.Flags(), &f.p)
	if name == "slow" {
		bindSlow(c.Flags(), &f.p)
	}
	return c
}

func loadFileCommand() *cobra.Command {
	var f loadFlags
	c := &cobra.Command{
		Use:     "run FILE",
		Short:   "run the scenarios of a file (YAML), one after another",
		Example: "  serve: true\n  scenarios:\n    - {scenario: idle, streams: 15000, transport: sse}\n    - {scenario: push, rate: 20000, for: 30s}",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.read(args[0]); err != nil {
				return err
			}
			return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	f.bind(c.Flags())
	c.Flags().BoolVar(&f.cfg.Baselines, "baselines", false, "before each scenario that the baseline server can play, run it against that server")
	c.Flags().BoolVar(&f.table, "table", false, "print one table of all scenarios (Markdown) in place of one each")
	return c
}

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Hidden: true, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return workers.Serve(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}

// bind is where the server is, and where the findings go.
func (f *loadFlags) bind(fl *pflag.FlagSet) {
	fl.SetNormalizeFunc(formerName)
	t := &f.cfg.Target
	fl.BoolVar(&f.cfg.Serve, "serve", false, "start a server for each scenario, on its own processor")
	fl.BoolVar(&f.cfg.Auth, "auth", false, "with --serve: devices use tokens, backends an API key")
	fl.StringVar(&f.cfg.Dir, "dir", "", "with --serve: `folder` on a disk, for the server's data while it runs (default: here)")
	fl.BoolVar(&f.cfg.Unbound, "unbound", false, "with --serve: let server and load share all processors, in place of one for the server and the others for the load")
	fl.StringArrayVar(&f.cfg.Args, "server-flag", nil, "with --serve: another flag for ramen serve, such as --server-flag=--frontend.heartbeat=10s")
	fl.StringVar(&f.cfg.Store, "store", "", "with --serve: `URL` of the server's store (default: the embedded store)")
	fl.StringVar(&f.cfg.Cache, "cache", "", "with --serve: `URL` of the cache before the store (default: none)")
	fl.IntSliceVar(&f.cfg.StorePIDs, "store-pid", nil, "process `ids` of the store's servers, if they run on this machine, to measure their CPU as well")
	fl.StringVar(&t.Devices, "url", fromEnv("RAMEN_DEVICES_URL", "http://127.0.0.1:8080"), "devices' HTTP port; several, separated by commas, are used in turn by each device; RAMEN_DEVICES_URL in the environment")
	fl.StringVar(&t.DevicesGRPC, "grpc", fromEnv("RAMEN_DEVICES_GRPC", "127.0.0.1:8081"), "devices' gRPC port, host:port; several as with --url; RAMEN_DEVICES_GRPC in the environment")
	fl.StringVar(&t.Backends, "backends", fromEnv("RAMEN_BACKENDS_URL", "http://127.0.0.1:9080"), "backends' HTTP port; RAMEN_BACKENDS_URL in the environment")
	fl.StringVar(&t.BackendsGRPC, "backends-grpc", "127.0.0.1:9081", "backends' gRPC port, host:port; several, separated by commas, get the publish streams in turn; empty: publish over HTTP")
	fl.StringVar(&t.Key, "key", "", "API key; RAMEN_KEY in the environment is safer")
	fl.StringVar(&f.secret, "secret-file", "", "`file` with the secret that signs the devices' tokens (HS256)")
	fl.StringVar(&t.Issuer, "issuer", "", "iss of the tokens")
	fl.StringVar(&t.Audience, "audience", "", "aud of the tokens")
	fl.StringVar(&t.CA, "ca", "", "PEM `file` with the certificate authorities to trust instead of the system's")
	fl.BoolVar(&t.TLS, "tls", false, "use TLS on gRPC ports (implied by https://); with --serve: on all ports of devices")
	fl.StringArrayVar(&t.Header, "header", nil, "sent with every request of a device, `NAME: VALUE`")
	fl.IntSliceVar(&f.cfg.ServerPIDs, "server-pid", nil, "process `id` of the server, if it runs on this machine, to measure its memory and CPU; several, separated by commas, are a cluster's, and each is told as well")
	fl.StringVar(&f.cfg.Metrics, "metrics", "", "URL of the server's metrics (default: /metrics of --backends)")
	fl.StringVar(&f.jsonFile, "json", "", "write all results to this `file` as JSON")
	fl.StringVar(&f.htmlFile, "html", "", "write a page with plots to this `file`")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no live line")
}

// formerName has flags be known by the names that they had: pflag shows the present ones alone.
func formerName(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name {
	case "floor":
		name = "baseline"
	case "floors":
		name = "baselines"
	}
	return pflag.NormalizedName(name)
}

// bindScenario is what one scenario may be asked for; 0 is its own default.
func bindScenario(fl *pflag.FlagSet, p *scenario.Params) {
	fl.IntVarP(&p.Streams, "streams", "n", 0, "streams of all devices together (0: the scenario's default, as everywhere here)")
	fl.IntVar(&p.Devices, "devices", 0, "devices a user")
	fl.StringVar(&p.Transport, "transport", "", "ws, ws-json, sse, grpc, poll, or a mix such as ws=5,sse=3,grpc=1")
	fl.Float64Var(&p.Rate, "rate", 0, "messages a second")
	fl.Float64Var(&p.Connects, "connects", 0, "streams opened a second; below 0: as fast as possible")
	fl.DurationVar(&p.For, "for", 0, "how long to measure")
	fl.DurationVar(&p.Warm, "warm", 0, "how long to warm up before that")
	fl.DurationVar(&p.Wait, "wait", 0, "longest wait for messages still to come (default 1m)")
	fl.IntVar(&p.Messages, "messages", 0, "replay: messages a device")
	fl.DurationVar(&p.P99, "p99", 0, "max: the p99 to hold")
	fl.IntVar(&p.Payload, "payload", 0, "bytes of a payload, 16, or 32 and more (default 256)")
	fl.BoolVar(&p.Deflate, "deflate", false, "WebSocket devices offer permessage-deflate; with --serve the server agrees")
	fl.BoolVar(&p.Baseline, "baseline", false, "with --serve: use the baseline server instead of RAMEN; see ramen load baseline")
	fl.StringVar(&p.Lanes, "lanes", "", "weights of high/medium/low, as in 1/8/1")
	fl.DurationVar(&p.Heartbeat, "heartbeat", 0, "interval that devices ask for")
	fl.DurationVar(&p.AckAfter, "ack-after", 0, "how long devices collect acks (default: they ack after each read)")
	fl.IntVar(&p.Window, "window", 0, "window that devices ask for")
	fl.IntVar(&p.Publishers, "publishers", 0, "publish streams per process (default 1)")
	fl.DurationVar(&p.Every, "every", 0, "how often the messages that are due are published together (default 1ms)")
	fl.DurationVar(&p.TTL, "ttl", 0, "of messages (default: the server's)")
	fl.IntVar(&p.Processes, "processes", 0, "processes of the load (default: one per 18,000 streams)")
	fl.IntVar(&p.Opening, "opening", 0, "most streams being opened per thread (default 256)")
	fl.DurationVar(&p.Slack, "slack", 0, "how long beyond 1.25 intervals a silence is a violation (default 500ms)")
	fl.DurationVar(&p.Life, "life", 0, "churn, soak: mean of a stream's life")
	fl.DurationVar(&p.Away, "away", 0, "churn, soak: mean of the pause until the next")
	fl.Float64Var(&p.HalfOpen, "half-open", 0, "churn, soak: share of streams that die without closing their connection")
	fl.Float64Var(&p.Change, "change", 0, "churn, soak: share of returns over another transport")
	fl.Float64Var(&p.Forget, "forget", 0, "churn, soak: share of returns without a cursor")
}

// read takes a file's scenarios; flags that were given stay.
func (f *loadFlags) read(name string) error {
	text, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	defer text.Close()
	d := yaml.NewDecoder(text)
	d.KnownFields(true)
	if err := d.Decode(&f.cfg); err != nil {
		return fmt.Errorf("load: read %s: %w", name, err)
	}
	if len(f.cfg.Scenarios) == 0 {
		return fmt.Errorf("load: read %s: it has no scenarios", name)
	}
	return nil
}

var errViolated = errors.New("load: the server violated the contract; see above")

func (f *loadFlags) run(ctx context.Context, out, errOut io.Writer) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	f.cfg.Binary = self
	f.cfg.Target.Key = cmp.Or(f.cfg.Target.Key, os.Getenv("RAMEN_KEY"))
	if f.secret != "" {
		secret, err := os.ReadFile(f.secret)
		if err != nil {
			return fmt.Errorf("load: %w", err)
		}
		f.cfg.Target.Secret = string(secret)
	}
	if file, ok := errOut.(*os.File); ok && !f.quiet && term.IsTerminal(int(file.Fd())) {
		f.cfg.Live, f.cfg.Width = errOut, func() int {
			width, _, err := term.GetSize(int(file.Fd()))
			if err != nil {
				return 80
			}
			return width
		}
	}
	f.cfg.Done, f.cfg.Command = f.told(out, errOut), f.alone
	f.warn(errOut)
	r, err := loadtest.Run(ctx, f.cfg)
	r.Version, r.Command = version, withoutPassword(r.Command)
	if f.table {
		fmt.Fprint(out, r.Markdown())
	}
	err = errors.Join(err, f.write(r))
	if r.Violated() > 0 {
		err = errors.Join(err, errViolated)
	}
	return err
}
