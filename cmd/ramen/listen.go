package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ramen "ramen/clients/go"
	"ramen/protocol"
)

// listenFlags is what ramen listen is asked for.
type listenFlags struct {
	url, grpc, transports, user, device, token, tokenFile, cursorFile string
	app, appVersion, os, osVersion, model, locale                     string
	labels                                                            map[string]string
	window, count                                                     int
	heartbeat                                                         time.Duration
	json, quiet, verbose                                              bool
	tls                                                               tlsFlags
}

func listenCommand() *cobra.Command {
	var f listenFlags
	c := &cobra.Command{
		Use:   "listen",
		Short: "Act as a device: print each message, and ack it once it is printed.",
		Long: "Act as a device: print each message, and ack it once it is printed.\n\n" +
			"After a lost connection the stream is opened again and resumes; with --cursor-file, after a restart as well.",
		Example: "  ramen listen --user alice\n  ramen listen --user alice --device tablet --transport grpc --json",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return f.run(c.Context(), c.OutOrStdout(), c.ErrOrStderr()) },
	}
	fl := c.Flags()
	fl.StringVar(&f.url, "url", fromEnv("RAMEN_DEVICES_URL", "http://127.0.0.1:8080"), "devices' HTTP port; RAMEN_DEVICES_URL in the environment")
	fl.StringVar(&f.grpc, "grpc", fromEnv("RAMEN_DEVICES_GRPC", "127.0.0.1:8081"), "devices' gRPC port, host:port (https://host:port for TLS); RAMEN_DEVICES_GRPC in the environment")
	fl.StringVar(&f.transports, "transport", "ws", "transports in order of preference: ws (ws-proto), ws-json, grpc, sse, poll")
	fl.StringVar(&f.user, "user", "", "user; with a token, leave it out or give the token's user")
	fl.StringVar(&f.device, "device", "terminal", "device id")
	fl.StringVar(&f.token, "token", "", "the device's token (JWT); RAMEN_TOKEN in the environment is safer, since other users of the machine cannot see it")
	fl.StringVar(&f.tokenFile, "token-file", "", "`file` with the token, read again for each stream")
	fl.StringVar(&f.cursorFile, "cursor-file", "", "`file` that keeps the cursor over restarts")
	fl.StringVar(&f.app, "app", "ramen-listen", "context: app")
	fl.StringVar(&f.appVersion, "app-version", "", "context: app_version")
	fl.StringVar(&f.os, "os", "", "context: os")
	fl.StringVar(&f.osVersion, "os-version", "", "context: os_version")
	fl.StringVar(&f.model, "model", "", "context: model")
	fl.StringVar(&f.locale, "locale", "", "context: locale")
	fl.StringToStringVar(&f.labels, "label", nil, "context: labels, `NAME=VALUE`")
	fl.IntVar(&f.window, "window", 0, "most unacked pushes; 0: the server's limit")
	fl.IntVarP(&f.count, "count", "n", 0, "exit after this many messages; 0: never")
	fl.DurationVar(&f.heartbeat, "heartbeat", 0, "heartbeat interval to ask for, 1s to 60s; 0: the server's")
	fl.BoolVar(&f.json, "json", false, "print each message as one line of JSON, with all its fields")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "do not report the state of the stream on standard error")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "log when each stream opens and ends")
	f.tls.bind(fl)
	completeWords(c, "transport", "ws", "ws-json", "grpc", "sse", "poll")
	return c
}

func (f *listenFlags) run(ctx context.Context, out, errOut io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer whenReaderGone(out, cancel)() // as in "ramen listen | head -1": what is not read is not acked
	w := bufio.NewWriter(out)
	seen := 0
	cfg, err := f.config(errOut)
	if err != nil {
		return err
	}
	if f.tokenFile != "" { // later it may be absent for a moment, while it is replaced
		if _, err := cfg.Token(ctx); err != nil {
			return fmt.Errorf("listen: --token-file: %w", err)
		}
	}
	place, err := f.place()
	if err != nil {
		return err
	}
	if place != nil {
		cfg.Cursors = place
	}
	cfg.Handler = func(_ context.Context, m *ramen.Message) error {
		if f.count > 0 && seen >= f.count {
			return context.Canceled // came behind the last that was asked for: it is not acked
		}
		seen++
		if err := f.print(w, m); err != nil {
			cancel()
			return err
		}
		if f.count > 0 && seen == f.count {
			cancel()
		}
		return nil
	}
	g := giveUp{waitsForToken: f.tokenFile != "", transports: len(cfg.Transports)}
	say := cfg.OnState
	cfg.OnState = func(s ramen.StateChange) {
		if g.state(s) {
			cancel()
		} else if say != nil {
			say(s)
		}
	}
	d, err := ramen.New(cfg)
	if err != nil {
		return err
	}
	if err = d.Run(ctx); errors.Is(err, context.Canceled) {
		err = g.err
	}
	if place != nil {
		err = errors.Join(err, place.failed())
	}
	return err
}

func (f *listenFlags) config(errOut io.Writer) (ramen.DeviceConfig, error) {
	var none ramen.DeviceConfig
	tls, err := f.tls.config()
	if err != nil {
		return none, err
	}
	cfg := ramen.DeviceConfig{
		URL: f.url, GRPC: f.grpc, TLS: tls, User: f.user, Device: f.device, Window: f.window, Heartbeat: f.heartbeat,
		Context: &ramen.DeviceContext{App: f.app, AppVersion: f.appVersion, OS: f.os, OSVersion: f.osVersion, Model: f.model, Locale: f.locale, Labels: f.labels},
		Token:   f.tokens(),
	}
	for name := range strings.SplitSeq(f.transports, ",") {
		cfg.Transports = append(cfg.Transports, ramen.Transport(strings.TrimSpace(name)))
	}
	if f.verbose {
		cfg.Logger = slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if !f.quiet {
		cfg.OnState, cfg.OnHello = sayState(errOut), sayHello(errOut)
	}
	return cfg, nil
}

func (f *listenFlags) tokens() func(context.Context) (string, error) {
	switch {
	case f.tokenFile != "":
		return func(context.Context) (string, error) {
			text, err := os.ReadFile(f.tokenFile)
			return strings.TrimSpace(string(text)), err
		}
	case cmp.Or(f.token, os.Getenv("RAMEN_TOKEN")) != "":
		token := cmp.Or(f.token, os.Getenv("RAMEN_TOKEN"))
		return func(context.Context) (string, error) { return token, nil }
	}
	return nil
}

func sayState(w io.Writer) func(ramen.StateChange) {
	return func(s ramen.StateChange) {
		switch s.State {
		case ramen.StateOnline:
			fmt.Fprintf(w, "-- online over %s\n", s.Transport)
		case ramen.StateWaiting:
			fmt.Fprintf(w, "-- offline, next attempt in %v: %v\n", s.Delay.Round(time.Millisecond), s.Err)
		}
	}
}

func sayHello(w io.Writer) func(ramen.Hello) {
	return func(h ramen.Hello) {
		if h.Expired > 0 {
			fmt.Fprintf(w, "-- %d messages expired before they could be delivered\n", h.Expired)
		}
	}
}

// print writes one message, all the way: it is acked once this returns.
func (f *listenFlags) print(w *bufio.Writer, m *ramen.Message) error {
	if f.json {
		b := protocol.AppendJSONPushObject(w.AvailableBuffer(), &protocol.Push{Seq: m.Seq, Redelivered: m.Redelivered, Message: &m.Message}, false)
		_, _ = w.Write(append(b, '\n'))
		return w.Flush()
	}
	payload := string(m.Payload)
	if !protocol.IsJSON(m.ContentType) && !strings.HasPrefix(m.ContentType, "text/") {
		payload = m.ContentType + " " + base64.StdEncoding.EncodeToString(m.Payload)
	}
	kind := m.Type
	if kind == "" {
		kind = "-"
	}
	_, _ = fmt.Fprintf(w, "%s %-6s %s %s\n", m.Created().Format("15:04:05.000"), m.Priority, kind, payload)
	return w.Flush()
}
