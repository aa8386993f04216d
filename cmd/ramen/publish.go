package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	ramen "ramen/clients/go"
	"ramen/protocol"
)

// publishFlags is what ramen publish is asked for: one message, or what every line of a file is completed with.
type publishFlags struct {
	url, grpc, key   string
	user, device, id string
	users            []string
	kind, priority   string
	contentType      string
	ttl              time.Duration
	collapse         string
	headers, where   map[string]string
	file, as         string
	batch            int
	timeout          time.Duration
	quiet            bool
	tls              tlsFlags
}

func publishCommand() *cobra.Command {
	var f publishFlags
	c := &cobra.Command{
		Use:   "publish [PAYLOAD]",
		Short: "Publish one message, or one for each line of a file or of standard input.",
		Long: "Publish one message. The argument is its payload (-: standard input), which is JSON unless --content-type says otherwise.\n\n" +
			"With --file, publish one message for each line of a file (-: standard input). A line is a message as in POST /v1/publish\n" +
			"(--as message), a JSON payload (--as json) or a text payload (--as text). Flags give what a line does not say.\n" +
			"Lines are published in order, as soon as they are read, so that a pipe may stay open.\n\n" +
			"The exit status is 0 if every message was accepted, and 1 otherwise. Rejected lines are listed on standard error.",
		Example: "  ramen publish --user alice --type hello '{\"text\":\"it works\"}'\n" +
			"  ramen publish --file messages.ndjson\n" +
			"  git log --format=%s | ramen publish --file - --as text --user alice --type commit",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return f.run(c.Context(), args, c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.url, "url", fromEnv("RAMEN_BACKENDS_URL", "http://127.0.0.1:9080"), "backends' HTTP port; RAMEN_BACKENDS_URL in the environment")
	fl.StringVar(&f.grpc, "grpc", "", "backends' gRPC port, host:port (https://host:port for TLS), to publish over gRPC")
	fl.StringVar(&f.key, "key", "", "API key; RAMEN_KEY in the environment is safer, since other users of the machine cannot see it")
	fl.StringVarP(&f.file, "file", "f", "", "`file` with one message per line; - is standard input")
	fl.StringVar(&f.as, "as", "message", "what each line of the file is: message, json or text")
	fl.StringVar(&f.user, "user", "", "user who gets the message")
	fl.StringSliceVar(&f.users, "users", nil, "several users, instead of --user")
	fl.StringVar(&f.device, "device", "", "only this device of the user")
	fl.StringVar(&f.id, "id", "", "id; a second message with the same id for the same user is not delivered again")
	fl.StringVar(&f.kind, "type", "", "type, passed on to the app")
	fl.StringVar(&f.priority, "priority", "", "high, medium (default) or low")
	fl.StringVar(&f.contentType, "content-type", "", "content type of the payload; with application/json (default) it must be valid JSON")
	fl.DurationVar(&f.ttl, "ttl", 0, "how long the message waits for delivery; 0: the server's default, 30m")
	fl.StringVar(&f.collapse, "collapse-key", "", "replace the user's older messages with this key")
	fl.StringToStringVar(&f.headers, "header", nil, "headers, `NAME=VALUE`")
	fl.StringToStringVar(&f.where, "where", nil, "only devices whose context has these values, `KEY=VALUE`")
	fl.IntVar(&f.batch, "batch", 256, "with --file: most messages in one request, 1 to 1000")
	fl.DurationVar(&f.timeout, "timeout", 30*time.Second, "how long to retry while the server is unavailable")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "with --file: no progress and no summary")
	f.tls.bind(fl)
	completeWords(c, "priority", "high", "medium", "low")
	completeWords(c, "as", "message", "json", "text")
	c.MarkFlagsMutuallyExclusive("user", "users")
	return c
}

func (f *publishFlags) run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	if err := f.check(args); err != nil {
		return err
	}
	tls, err := f.tls.config()
	if err != nil {
		return err
	}
	t := newTally(errOut, f.quiet)
	p, err := ramen.NewPublisher(ramen.PublisherConfig{
		URL: f.url, GRPC: f.grpc, TLS: tls, Key: cmp.Or(f.key, os.Getenv("RAMEN_KEY")), MaxBatch: f.batch, OnRetry: sayRetry(t),
	})
	if err != nil {
		return err
	}
	defer p.Close()
	if f.file != "" {
		return f.lines(ctx, p, in, t)
	}
	if len(args) == 1 && args[0] == "-" {
		payload, err := io.ReadAll(io.LimitReader(in, maxLine+1))
		if err == nil && len(payload) > maxLine {
			err = fmt.Errorf("it is longer than %d bytes", maxLine)
		}
		if err != nil {
			return fmt.Errorf("publish: read the payload: %w", err)
		}
		if f.contentType == "" || strings.HasPrefix(strings.ToLower(f.contentType), protocol.ContentTypeJSON) {
			if payload, err = withoutBOM(payload); err != nil {
				return fmt.Errorf("publish: read the payload: %w", err)
			}
		}
		return f.one(ctx, p, payload, out)
	}
	return f.one(ctx, p, []byte(strings.Join(args, "")), out)
}

// check finds flags that do not go together.
func (f *publishFlags) check(args []string) error {
	switch {
	case f.file != "" && (len(args) > 0 || f.id != ""):
		return errors.New("publish: --file cannot be combined with a payload or --id, which each line has itself")
	case f.as != "message" && f.as != "json" && f.as != "text":
		return fmt.Errorf("publish: unknown --as %q: use message, json or text", f.as)
	case f.as != "message" && f.file == "":
		return errors.New("publish: --as needs --file (- for standard input)")
	}
	if _, ok := protocol.ParsePriority(f.priority); !ok {
		return fmt.Errorf("publish: unknown priority %q: use high, medium or low", f.priority)
	}
	return nil
}

// retryNotice is how long trying again goes unmentioned.
const retryNotice = 2 * time.Second

// sayRetry tells, now and then, why nothing moves.
func sayRetry(t *tally) func(error) {
	var mu sync.Mutex
	last := time.Now()
	return func(cause error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(last) >= retryNotice {
			last = time.Now()
			t.say("trying again: %v", cause)
		}
	}
}

// one publishes a single message and says what became of it.
func (f *publishFlags) one(ctx context.Context, p *ramen.Publisher, payload []byte, out io.Writer) error {
	m, err := f.publication(protocol.Publish{ID: f.id, Payload: payload})
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	results, err := p.PublishAll(ctx, []ramen.Publication{m})
	if err != nil {
		return f.gaveUp(err)
	}
	var rejected []error
	for _, r := range results {
		if r.Err != nil {
			rejected = append(rejected, fmt.Errorf("publish: user %s: %w", r.User, r.Err))
			continue
		}
		fmt.Fprintf(out, "%s %s for %s, known devices: %d\n", r.Status, r.ID, r.User, r.Devices)
	}
	return errors.Join(rejected...)
}

// gaveUp says in the words of the command line that time is up.
func (f *publishFlags) gaveUp(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("publish: gave up after --timeout %v: %s", f.timeout, strings.TrimPrefix(err.Error(), "context deadline exceeded, after: "))
	}
	return fmt.Errorf("publish: %w", err)
}

// mostLimits is what no server takes more of; what the one at hand takes, it says itself.
var mostLimits = protocol.PublishLimits{AnyServer: true, MaxPayload: 1 << 20, MaxBatch: 1000, MaxBody: maxLine, DefaultTTL: 30 * time.Minute, MaxTTL: 30 * 24 * time.Hour}

// parse makes a message of a line.
func (f *publishFlags) parse(line []byte) (ramen.Publication, error) {
	switch f.as {
	case "json":
		return f.publication(protocol.Publish{Payload: line})
	case "text":
		return f.publication(protocol.Publish{Payload: line, ContentType: "text/plain; charset=utf-8"})
	}
	if !strings.HasPrefix(strings.TrimSpace(string(line)), "{") {
		return ramen.Publication{}, errors.New("not a JSON object; if the line is the payload itself, use --as json or --as text")
	}
	list, batch, err := protocol.DecodePublishJSON(nil, line, &mostLimits)
	if err != nil {
		return ramen.Publication{}, err
	}
	if batch {
		return ramen.Publication{}, errors.New("the line is a batch; put each message on a line of its own")
	}
	return f.publication(list[0])
}

// publication is p with what it leaves open filled in from the flags, once it is found good.
func (f *publishFlags) publication(p protocol.Publish) (ramen.Publication, error) {
	if p.User == "" && len(p.Users) == 0 {
		p.User, p.Users = f.user, f.users
	}
	if p.User == "" && len(p.Users) == 0 {
		return ramen.Publication{}, errors.New("the message has no user: give --user or --users")
	}
	p.Device = cmp.Or(p.Device, f.device)
	p.Type = cmp.Or(p.Type, f.kind)
	p.ContentType = cmp.Or(p.ContentType, f.contentType)
	p.CollapseKey = cmp.Or(p.CollapseKey, f.collapse)
	if p.Priority == protocol.PriorityUnspecified {
		p.Priority, _ = protocol.ParsePriority(f.priority) // check has let it pass
	}
	p.TTLMS = cmp.Or(p.TTLMS, f.ttl.Milliseconds())
	if p.Headers == nil {
		p.Headers = f.headers
	}
	if p.Where == nil {
		p.Where = f.where
	}
	asked := p.TTLMS // 0 stays the server's default
	if f.ttl > 0 && asked == 0 {
		p.TTLMS = 1 // too short, and the check says so
	}
	if err := p.Check(&mostLimits); err != nil {
		return ramen.Publication{}, err
	}
	return ramen.Publication{User: p.User, Users: p.Users, Device: p.Device, ID: p.ID, Type: p.Type, Priority: p.Priority,
		Payload: p.Payload, ContentType: p.ContentType, TTL: time.Duration(asked) * time.Millisecond,
		CollapseKey: p.CollapseKey, Headers: p.Headers, Where: p.Where}, nil
}
