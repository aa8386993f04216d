package ramen

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// DeviceConfig is how a Device connects and what it does with messages.
type DeviceConfig struct {
	// URL is where the devices' HTTP port is: https://push.example.com. Needed for ws, sse and poll.
	URL string `yaml:"url"`
	// GRPC is host:port of the devices' gRPC port, https://host:port for TLS (see wire.ParseGRPCTarget). Needed for grpc.
	GRPC string `yaml:"grpc"`
	// Transports, the preferred one first. Default: ws, sse, poll where URL is set, then grpc where GRPC is.
	Transports []Transport `yaml:"transports"`
	// TLS for https and gRPC; nil: the system's roots for https, cleartext for gRPC.
	TLS *tls.Config `yaml:"-"`
	// Header is sent with every HTTP request beside the device's own. May be nil.
	Header http.Header `yaml:"-"`

	// User is whom messages are for, while authentication is off; otherwise the token names it, and this may be empty.
	User string `yaml:"user"`
	// Device names this installation, for as long as it lives; it may be empty only where the token names it.
	Device string `yaml:"device"`
	// Token is asked for the device's JWT at each opening, and shortly before the one in use expires. It may keep what it
	// has; after the server refused one it is asked, with growing pauses, until it answers with another. nil: none is sent.
	Token func(ctx context.Context) (string, error) `yaml:"-"`
	// Context is what the device says of itself. May be nil.
	Context *DeviceContext `yaml:"context"`

	// Handler processes one message, in the order of pushes, one at a time. nil acks the message. An error says that it
	// is not processed: the device lets go of the stream and opens another after a pause (SPEC 2.13.1), where the message
	// comes again unless it has expired or was replaced, and newer ones of higher priority before it. So answer nil for
	// what can never be processed. ctx ends with Run. Needed.
	Handler func(ctx context.Context, m *Message) error `yaml:"-"`
	// Cursors keeps the device's place across restarts. nil: after a restart everything not acked comes again.
	Cursors CursorStore `yaml:"-"`

	// Window is the most pushes unacked at once; 0: the transport's most, 256 or 1,024 (SPEC 2.10).
	Window int `yaml:"window"`
	// Heartbeat is the interval asked for, 1 s to 60 s; 0: the server's, 4 s. Longer saves battery, and finds a dead
	// connection later: after 7/4 of it (SPEC 2.8.3, 2.8.6).
	Heartbeat time.Duration `yaml:"heartbeat"`
	// Wait is long-poll's, 1 s to 60 s; 0: 25 s.
	Wait time.Duration `yaml:"wait"`
	// ConnectTimeout bounds an opening until its hello. Default 10 s.
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	// FallbackAfter is how many openings or short lives (under 30 s) in a row must fail without a word of the server's
	// until the next transport has its turn; after the last comes the first. Default 2.
	FallbackAfter int `yaml:"fallback_after"`
	// PreferAfter is when a device on a fallback tries the preferred transport again, beside the stream that it has: a
	// trial that fails costs nothing, and doubles the time, up to 1 h. Default 5 min; negative: never.
	PreferAfter time.Duration `yaml:"prefer_after"`

	// OnState is told of each change, OnHello of each hello: resumed or not, and how many messages expired unseen. Both
	// are called by Run's goroutine and must not block. May be nil.
	OnState func(StateChange) `yaml:"-"`
	OnHello func(Hello)       `yaml:"-"`
	// OnReload is told, after OnHello, that messages may have gone unseen: the server did not honour the device's place, or some
	// expired. The app loads its state anew. Called as OnHello is. May be nil.
	OnReload func() `yaml:"-"`
	// OnToken is told that the server has refused the token, and that Token is asked until it answers with another. Called as
	// OnHello is. May be nil.
	OnToken func() `yaml:"-"`
	// OnError is told what went wrong on the app's side, and was got over: of is "handler" or "store" (once for each run of failures).
	// It is called by any goroutine, and must not block. May be nil.
	OnError func(of string, err error) `yaml:"-"`
	// Logger gets a line at debug for each stream's open and end. nil: none.
	Logger *slog.Logger `yaml:"-"`
}

// Times of a device.
const (
	defaultConnectTimeout = 10 * time.Second
	defaultFallbackAfter  = 2
	defaultPreferAfter    = 5 * time.Minute
	maxPreferAfter        = time.Hour
)

// complete fills in defaults.
func (c *DeviceConfig) complete() {
	if len(c.Transports) == 0 {
		if c.URL != "" {
			c.Transports = []Transport{WS, SSE, Poll}
		}
		if c.GRPC != "" {
			c.Transports = append(c.Transports, GRPC)
		}
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	if c.FallbackAfter <= 0 {
		c.FallbackAfter = defaultFallbackAfter
	}
	if c.PreferAfter == 0 {
		c.PreferAfter = defaultPreferAfter
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Validate says what is wrong with c, defaults applied.
func (c DeviceConfig) Validate() error {
	c.complete()
	if len(c.Transports) == 0 {
		return errors.New("ramen: device config: url and grpc are both empty; set one of them")
	}
	for _, t := range c.Transports {
		if err := c.dialer().Check(t); err != nil {
			return fmt.Errorf("ramen: device config: %w", err)
		}
	}
	if err := c.validateIdentity(); err != nil {
		return fmt.Errorf("ramen: device config: %w", err)
	}
	switch {
	case c.Handler == nil:
		return errors.New("ramen: device config: handler is missing")
	case c.Window < 0:
		return fmt.Errorf("ramen: device config: window is %d; use 1 or more pushes, or 0 for the default", c.Window)
	case c.Heartbeat != 0 && (c.Heartbeat < time.Second || c.Heartbeat > time.Minute):
		return fmt.Errorf("ramen: device config: heartbeat is %v; use 1s to 60s, or 0 for the server's", c.Heartbeat)
	case c.Wait != 0 && (c.Wait < time.Second || c.Wait > time.Minute):
		return fmt.Errorf("ramen: device config: wait is %v; use 1s to 60s, or 0 for 25s", c.Wait)
	}
	return nil
}

func (c *DeviceConfig) validateIdentity() error {
	if c.User == "" && c.Token == nil {
		return errors.New("user and token are both empty; set one of them")
	}
	if c.Device == "" && c.Token == nil {
		return errors.New("device is missing; set an id of this installation")
	}
	if c.User != "" {
		if err := protocol.CheckUser(c.User); err != nil {
			return err
		}
	}
	if c.Device != "" {
		if err := protocol.CheckDevice(c.Device); err != nil {
			return err
		}
	}
	return protocol.CheckContext(c.Context)
}

func (c *DeviceConfig) dialer() *wire.Dialer {
	return &wire.Dialer{URL: c.URL, GRPC: c.GRPC, TLS: c.TLS, Wait: c.Wait, Header: c.Header}
}
