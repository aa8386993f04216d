package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	ramen "ramen/clients/go"
	"ramen/protocol"
)

// publishFlags is what ramen publish is asked for: one message, or what every line of a file is completed with.
type publishFlags struct {
	url, grpc, key       string
	user, device, id     string
	users                []string
	kind, priority       string
	payload, contentType string
	ttl                  time.Duration
	collapse             string
	headers, where       map[string]string
	file, as             string
	batch                int
	timeout              time.Duration
	quiet                bool
	tls                  tlsFlags
}

func publishCommand() *cobra.Command {
	var f publishFlags
	c := &cobra.Command{
		Use:   "publish [PAYLOAD]",
		Short: "Publish one message, or one for each line of a file or of standard input.",
		Long: "Publish one message: its payload is the argument, JSON unless --content-type says otherwise.\n\n" +
			"With --file, publish one for each line of a file (- is standard input). A line is a message as POST /v1/publish takes it\n" +
			"(--as message), or JSON that is the payload itself (--as json), or text (--as text). Flags complete what a line leaves open.\n" +
			"The exit status is 1 where any message was rejected; the rejected lines are named on standard error.",
		Example: "  ramen publish --user alice --type hello '{\"text\":\"it works\"}'\n" +
			"  ramen publish --file messages.ndjson\n" +
			"  git log --format=%s | ramen publish --file - --as text --user alice --type commit",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.payload = args[0]
			}
			return f.run(c.Context(), c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.url, "url", "http://127.0.0.1:9080", "backends' HTTP port")
	fl.StringVar(&f.grpc, "grpc", "", "backends' gRPC port, host:port, to publish over it instead")
	fl.StringVar(&f.key, "key", os.Getenv("RAMEN_KEY"), "API key; RAMEN_KEY in the environment")
	fl.StringVarP(&f.file, "file", "f", "", "`file` with a message a line; - is standard input")
	fl.StringVar(&f.as, "as", "message", "what a line of the file is: message, json or text")
	fl.StringVar(&f.user, "user", "", "user whom it is for")
	fl.StringSliceVar(&f.users, "users", nil, "several users, instead of --user")
	fl.StringVar(&f.device, "device", "", "only this device of the user")
	fl.StringVar(&f.id, "id", "", "id: the same one for the same user is delivered once")
	fl.StringVar(&f.kind, "type", "", "type, for the app")
	fl.StringVar(&f.priority, "priority", "", "high, medium (default) or low")
	fl.StringVar(&f.contentType, "content-type", "", "content type of the payload; application/json (default) is checked to be JSON")
	fl.DurationVar(&f.ttl, "ttl", 0, "how long it is worth delivering; 0: the server's default, 30m")
	fl.StringVar(&f.collapse, "collapse-key", "", "replaces the user's older messages of this key")
	fl.StringToStringVar(&f.headers, "header", nil, "headers, `NAME=VALUE`")
	fl.StringToStringVar(&f.where, "where", nil, "only devices whose context has these values, `KEY=VALUE`")
	fl.IntVar(&f.batch, "batch", 256, "with --file: most messages of one request, 1 to 1000")
	fl.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to try again while the server cannot take a message")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "with --file: no progress and no summary")
	f.tls.bind(fl)
	return c
}

func (f *publishFlags) run(ctx context.Context, in io.Reader, out, errOut io.Writer) error {
	tls, err := f.tls.config()
	if err != nil {
		return err
	}
	p, err := ramen.NewPublisher(ramen.PublisherConfig{URL: f.url, GRPC: f.grpc, TLS: tls, Key: f.key, MaxBatch: f.batch})
	if err != nil {
		return err
	}
	defer p.Close()
	if f.file == "" {
		return f.one(ctx, p, out)
	}
	if f.payload != "" || f.id != "" {
		return errors.New("publish: a payload or --id is for one message; with --file each line has its own")
	}
	return f.lines(ctx, p, in, errOut)
}

// one publishes a single message and says what became of it.
func (f *publishFlags) one(ctx context.Context, p *ramen.Publisher, out io.Writer) error {
	m := ramen.Publication{ID: f.id, Payload: []byte(f.payload)}
	if err := f.complete(&m); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	results, err := p.PublishAll(ctx, []ramen.Publication{m})
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	var rejected error
	for _, r := range results {
		if r.Err != nil {
			rejected = fmt.Errorf("publish: user %s: %w", r.User, r.Err)
			continue
		}
		fmt.Fprintf(out, "%s %s for %s, known devices: %d\n", r.Status, r.ID, r.User, r.Devices)
	}
	return rejected
}

// complete fills in from the flags what m leaves open.
func (f *publishFlags) complete(m *ramen.Publication) error {
	if m.User == "" && len(m.Users) == 0 {
		m.User, m.Users = f.user, f.users
	}
	if m.User == "" && len(m.Users) == 0 {
		return errors.New("publish: whom is it for? Give --user or --users")
	}
	orElse(&m.Device, f.device)
	orElse(&m.Type, f.kind)
	orElse(&m.ContentType, f.contentType)
	orElse(&m.CollapseKey, f.collapse)
	if m.Priority == protocol.PriorityUnspecified {
		priority, ok := protocol.ParsePriority(f.priority)
		if !ok {
			return fmt.Errorf("publish: there is no priority %q: use high, medium or low", f.priority)
		}
		m.Priority = priority
	}
	if m.TTL == 0 {
		m.TTL = f.ttl
	}
	if m.Headers == nil {
		m.Headers = f.headers
	}
	if m.Where == nil {
		m.Where = f.where
	}
	return nil
}

func orElse(s *string, other string) {
	if *s == "" {
		*s = other
	}
}

// parse makes a message of a line.
func (f *publishFlags) parse(line []byte) (ramen.Publication, error) {
	var m ramen.Publication
	switch f.as {
	case "json":
		m.Payload = line
	case "text":
		m.Payload, m.ContentType = line, "text/plain; charset=utf-8"
	case "message":
		if !strings.HasPrefix(strings.TrimSpace(string(line)), "{") {
			return m, errors.New("it is no JSON object; give --as json or --as text where the line itself is the payload")
		}
		limits := protocol.DefaultPublishLimits()
		list, batch, err := protocol.DecodePublishJSON(nil, line, &limits)
		if err != nil {
			return m, err
		}
		if batch {
			return m, errors.New("it is a batch; put each of its messages on a line of its own")
		}
		d := list[0]
		m = ramen.Publication{User: d.User, Users: d.Users, Device: d.Device, ID: d.ID, Type: d.Type, Priority: d.Priority,
			Payload: d.Payload, ContentType: d.ContentType, TTL: time.Duration(d.TTLMS) * time.Millisecond,
			CollapseKey: d.CollapseKey, Headers: d.Headers, Where: d.Where}
	default:
		return m, fmt.Errorf("publish: --as is %q: use message, json or text", f.as)
	}
	return m, f.complete(&m)
}
