package frontend

import (
	"errors"
	"fmt"
	"time"

	"ramen/frontend/admission"
	"ramen/frontend/h2"
	"ramen/frontend/origin"
	"ramen/frontend/sock"
	"ramen/frontend/ws"
)

// Config is how the device side of a frontend behaves.
type Config struct {
	// SPEC 3.
	Origins         []string `yaml:"origins" doc:"Origins of web pages that may read answers and open WebSockets, as a browser names them: https://app.example.com; https://*.example.com for all names under one. Empty: none but the gateway's own. \"*\": any."`
	LoopbackOrigins bool     `yaml:"loopback_origins" doc:"Adds the origins on localhost and loopback addresses, any port, and null (pages from files). For development; dev sets it."`

	Heartbeat    time.Duration `yaml:"heartbeat" doc:"Interval of the heartbeats of streams whose device asked for none, from 1s to 60s. Longer saves batteries and finds dead connections later: devices give up after 7/4 of it."`
	MaxAge       time.Duration `yaml:"max_age" doc:"Age at which a stream is asked to move on (less a random tenth), so that load evens out. 0: never."`
	DrainTime    time.Duration `yaml:"drain_time" doc:"How long a stream goes on after a goaway for drain or rebalance. Devices come back within 4/5 of it: raise it where a shutdown's wave of connects is too steep."`
	TooSlow      time.Duration `yaml:"too_slow" doc:"How long bytes may wait for a socket that takes none of them before its stream ends. At least 1s. On plain TCP, sock.user_timeout ends it before, if shorter (counted as gone)."`
	OpenTimeout  time.Duration `yaml:"open_timeout" doc:"How long an opening may take: the first frame of gRPC, and the owner's answer."`
	DetachedTime time.Duration `yaml:"detached_time" doc:"How long a stream whose gateway was lost looks for the new owner before it ends as unavailable."`
	Reopens      int           `yaml:"reopens" doc:"How many such streams look for their new owner at once; the others wait for their turn."`

	Credit    int `yaml:"credit" unit:"bytes" doc:"Most bytes of pushes under way to one device and its socket. More fills fat pipes better; a message of high priority waits behind as much."`
	PollBytes int `yaml:"poll_bytes" unit:"bytes" doc:"Most bytes of pushes in one answer of a long-poll. At least 1KiB; one push always fits."`

	UnfinishedBytes int `yaml:"unfinished_bytes" unit:"bytes" doc:"Most bytes that the WebSockets of all devices hold of messages whose end has not come; beyond it those that hold the most are ended. At least 256KiB."`

	admission.Limits `yaml:",inline"`

	GRPCStreams int       `yaml:"grpc_streams" doc:"Most streams of one gRPC connection, 1 or more; further ones wait in the client. A proxy of many devices opens more connections."`
	GRPC        h2.Config `yaml:"grpc" doc:"What the peers of the gRPC port may ask for."`

	ReadHeaderTimeout time.Duration `yaml:"read_header_timeout" doc:"How long a request's head may take."`
	IdleTimeout       time.Duration `yaml:"idle_timeout" doc:"How long a connection without a request stays open. Above the wait of any poll, 60s."`
	MaxHeaderBytes    int           `yaml:"max_header_bytes" doc:"Most bytes of a request's head, from 4KiB; tokens are up to 8 KiB."`

	Sock sock.Config `yaml:"sock" doc:"Connections of SSE and WebSocket streams."`
	WS   ws.Config   `yaml:"ws" doc:"How WebSockets are negotiated."`
}

// Default is the configuration that a zero file means.
func Default() Config {
	return Config{
		Heartbeat:         4 * time.Second,
		MaxAge:            30 * time.Minute,
		DrainTime:         5 * time.Second,
		TooSlow:           30 * time.Second,
		OpenTimeout:       10 * time.Second,
		DetachedTime:      30 * time.Second,
		Reopens:           256,
		Credit:            32 << 10,
		PollBytes:         1 << 20,
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
	check(c.Heartbeat >= minHeartbeat && c.Heartbeat <= maxHeartbeat, "heartbeat is %v: use 1s to 60s", c.Heartbeat)
	check(c.MaxAge == 0 || c.MaxAge >= time.Second, "max_age is %v: use 0 (never) or at least 1s", c.MaxAge)
	check(c.DrainTime > 0 && c.DrainTime <= 10*time.Minute, "drain_time is %v: use a time up to 10m, such as 5s", c.DrainTime)
	check(c.TooSlow >= time.Second, "too_slow is %v: use at least 1s", c.TooSlow)
	check(c.OpenTimeout > 0, "open_timeout is %v: use a time over 0, such as 10s", c.OpenTimeout)
	check(c.DetachedTime > 0, "detached_time is %v: use a time over 0, such as 30s", c.DetachedTime)
	check(c.Reopens > 0, "reopens is %d: use at least 1", c.Reopens)
	check(c.Credit >= 1024 && c.Credit <= 1<<30, "credit is %d bytes: use 1024 to 1GiB", c.Credit)
	check(c.Credit <= c.Sock.MaxKept/2, "credit is %d bytes: use at most half of sock.max_kept, %d, since frames are longer than what is in them", c.Credit, c.Sock.MaxKept)
	check(c.PollBytes >= 1024 && c.PollBytes <= 1<<30, "poll_bytes is %d bytes: use 1024 to 1GiB", c.PollBytes)
	check(c.UnfinishedBytes >= 256<<10 && c.UnfinishedBytes <= 1<<30, "unfinished_bytes is %d bytes: use 256KiB to 1GiB, such as 16MiB", c.UnfinishedBytes)
	check(c.GRPCStreams > 0 && c.GRPCStreams <= 1<<30, "grpc_streams is %d: use at least 1, such as 1000", c.GRPCStreams)
	check(c.ReadHeaderTimeout > 0, "read_header_timeout is %v: use a time over 0, such as 10s", c.ReadHeaderTimeout)
	check(c.IdleTimeout > 0, "idle_timeout is %v: use a time over 0, such as 90s", c.IdleTimeout)
	check(c.MaxHeaderBytes >= 4096 && c.MaxHeaderBytes <= 1<<30, "max_header_bytes is %d: use at least 4096", c.MaxHeaderBytes)
	return errors.Join(append(errs, c.Limits.Validate(), c.GRPC.Validate(), c.Sock.Validate(), c.WS.Validate())...)
}
