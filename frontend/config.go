package frontend

import (
	"errors"
	"fmt"
	"time"

	"ramen/frontend/admission"
	"ramen/frontend/h2"
	"ramen/frontend/origin"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport/grpc"
	"ramen/frontend/ws"
)

// Config is how the device side of a frontend behaves.
type Config struct {
	// SPEC 3.
	Origins         []string `yaml:"origins" doc:"Origins of web pages that may read answers and open WebSockets, written as a browser sends them: https://app.example.com, or https://*.example.com for all subdomains. \"*\" allows any. Empty: only the gateway's own."`
	LoopbackOrigins bool     `yaml:"loopback_origins" doc:"Also allow origins on localhost and loopback addresses, with any port, and null (pages opened from files). For development; dev sets it."`

	stream.Config `yaml:",inline"`

	UnfinishedBytes int `yaml:"unfinished_bytes" unit:"bytes" doc:"The most bytes that incomplete WebSocket messages of all devices may hold together. Beyond it the streams that hold the most are ended. At least 256KiB."`

	admission.Limits `yaml:",inline"`

	GRPCStreams int       `yaml:"grpc_streams" doc:"The most streams of one gRPC connection, 1 or more. Further ones wait in the client. A proxy with more devices opens more connections."`
	GRPC        h2.Config `yaml:"grpc" doc:"Limits on gRPC connections."`

	ReadHeaderTimeout time.Duration `yaml:"read_header_timeout" doc:"The longest time to receive a request's head."`
	IdleTimeout       time.Duration `yaml:"idle_timeout" doc:"How long a connection without a request stays open. Must be above 60s, the longest wait of a poll."`
	MaxHeaderBytes    int           `yaml:"max_header_bytes" doc:"The most bytes of a request's head, from 4KiB. A token can have 8 KiB."`

	Sock sock.Config `yaml:"sock" doc:"Connections of SSE and WebSocket streams."`
	WS   ws.Config   `yaml:"ws" doc:"WebSocket compression."`
}

// Default is the configuration that a zero file means.
func Default() Config {
	return Config{
		Config:            stream.Default(),
		UnfinishedBytes:   16 << 20,
		GRPCStreams:       1000,
		GRPC:              h2.Default(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       90 * time.Second,
		MaxHeaderBytes:    32 << 10,
		Sock:              sock.Default(),
		WS:                ws.Default(),
	}
}

// Validate says what is wrong with c, all of it.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("frontend: check configuration: "+format, args...))
		}
	}
	for _, o := range c.Origins {
		if err := origin.Check(o); err != nil {
			check(false, "origins has %q, which no page has: %w", o, err)
		}
	}
	check(c.Credit <= c.Sock.MaxKept/2, "credit is %d bytes: use at most half of sock.max_kept, %d, since frames are longer than what is in them", c.Credit, c.Sock.MaxKept)
	check(c.UnfinishedBytes >= 256<<10 && c.UnfinishedBytes <= 1<<30, "unfinished_bytes is %d bytes: use 256KiB to 1GiB, such as 16MiB", c.UnfinishedBytes)
	check(c.GRPCStreams > 0 && c.GRPCStreams <= 1<<30, "grpc_streams is %d: use at least 1, such as 1000", c.GRPCStreams)
	check(c.ReadHeaderTimeout > 0, "read_header_timeout is %v: use a time over 0, such as 10s", c.ReadHeaderTimeout)
	check(c.IdleTimeout > 0, "idle_timeout is %v: use a time over 0, such as 90s", c.IdleTimeout)
	check(c.MaxHeaderBytes >= 4096 && c.MaxHeaderBytes <= 1<<30, "max_header_bytes is %d: use at least 4096", c.MaxHeaderBytes)
	return errors.Join(append(errs, c.Config.Validate(), c.Limits.Validate(), c.GRPC.Validate(), c.Sock.Validate(), c.WS.Validate())...)
}

// grpc is the part of the gRPC port.
func (c *Config) grpc() grpc.Config {
	return grpc.Config{
		Streams: c.GRPCStreams, Guard: c.GRPC, Sock: c.Sock, OpenTimeout: c.OpenTimeout,
		HeaderTimeout: c.ReadHeaderTimeout, IdleTimeout: c.IdleTimeout, MaxHeaderBytes: c.MaxHeaderBytes,
	}
}
