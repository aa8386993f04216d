package frontend

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"ramen/frontend/sock"
	"ramen/frontend/ws"
)

// Config is how the device side of a frontend behaves.
type Config struct {
	// Origins are the origins of pages that may read answers and open WebSockets, as a browser names them:
	// "https://app.example.com". "*" is any. Default none. PROTOCOL 3.
	Origins []string `yaml:"origins"`
	// LoopbackOrigins adds the origins on localhost and loopback addresses, any port, and "null". For development.
	LoopbackOrigins bool `yaml:"loopback_origins"`

	// Heartbeat is the interval of streams whose device asked for none. Default 4s, from 1s to 60s.
	Heartbeat time.Duration `yaml:"heartbeat"`
	// MaxAge is when a stream is asked to move on, so that load evens out, less a random tenth. Default 30m. 0: never.
	MaxAge time.Duration `yaml:"max_age"`
	// DrainTime is how long a stream goes on after a goaway for drain or rebalance. Default 5s. Devices come back within 4/5 of
	// it: raise it where a shutdown's wave of connects is too steep.
	DrainTime time.Duration `yaml:"drain_time"`
	// TooSlow is how long bytes may wait for a socket that takes none of them before its stream ends. Default 30s.
	TooSlow time.Duration `yaml:"too_slow"`
	// OpenTimeout bounds an open: the first frame of gRPC, and the owner's answer. Default 10s.
	OpenTimeout time.Duration `yaml:"open_timeout"`
	// DetachedTime is how long a stream whose gateway was lost looks for the new owner before it ends as unavailable. Default 30s.
	DetachedTime time.Duration `yaml:"detached_time"`
	// Reopens is how many streams look for their new owner at once; the others wait their turn. Default 256.
	Reopens int `yaml:"reopens"`

	// Credit is how many bytes of pushes may be under way to one device and its socket, in bytes. Default 32768. More fills fat
	// pipes better; a message of high priority waits behind as much.
	Credit int `yaml:"credit"`
	// PollBytes is the most that one answer of a long-poll holds, in bytes of pushes. Default 1048576.
	PollBytes int `yaml:"poll_bytes"`

	// MaxStreams is the most streams of the process, polls included; beyond it, a new one is told that the server is overloaded.
	// Default 0: no limit but that of open files.
	MaxStreams int `yaml:"max_streams"`
	// OpensPerSecond is the most streams that are opened a second, with a burst of as many. Default 0: no limit.
	OpensPerSecond int `yaml:"opens_per_second"`
	// MaxStreamsPerSource and OpensPerSecondPerSource are the same for one source address (IPv6: one /64); polls and acks
	// count as opens. Default 0: no limit. Leave them so behind a proxy, which is the source of all.
	MaxStreamsPerSource     int `yaml:"max_streams_per_source"`
	OpensPerSecondPerSource int `yaml:"opens_per_second_per_source"`

	// ReadHeaderTimeout is the time for a request's head. Default 10s.
	ReadHeaderTimeout time.Duration `yaml:"read_header_timeout"`
	// IdleTimeout is how long a connection without a request stays open. Default 90s, above the wait of any poll.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// MaxHeaderBytes is the most of a request's head, in bytes: tokens are up to 8 KiB. Default 32768.
	MaxHeaderBytes int `yaml:"max_header_bytes"`

	// Sock serves the connections of SSE and WebSocket streams.
	Sock sock.Config `yaml:"sock"`
	// WS is how WebSockets are negotiated.
	WS ws.Config `yaml:"ws"`
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
		check(validOrigin(o), "origins has %q: use scheme and host, such as https://app.example.com, or *", o)
	}
	check(c.Heartbeat >= minHeartbeat && c.Heartbeat <= maxHeartbeat, "heartbeat is %v: use 1s to 60s", c.Heartbeat)
	check(c.MaxAge == 0 || c.MaxAge >= time.Second, "max_age is %v: use 0 (never) or at least 1s", c.MaxAge)
	check(c.DrainTime > 0 && c.DrainTime <= 10*time.Minute, "drain_time is %v: use a time up to 10m, such as 5s", c.DrainTime)
	check(c.TooSlow >= time.Second, "too_slow is %v: use at least 1s", c.TooSlow)
	check(c.OpenTimeout > 0, "open_timeout is %v: use a time over 0, such as 10s", c.OpenTimeout)
	check(c.DetachedTime > 0, "detached_time is %v: use a time over 0, such as 30s", c.DetachedTime)
	check(c.Reopens > 0, "reopens is %d: use at least 1", c.Reopens)
	check(c.Credit >= 1024, "credit is %d bytes: use at least 1024", c.Credit)
	check(c.PollBytes >= 1024, "poll_bytes is %d bytes: use at least 1024", c.PollBytes)
	for _, n := range []int{c.MaxStreams, c.OpensPerSecond, c.MaxStreamsPerSource, c.OpensPerSecondPerSource} {
		check(n >= 0, "a limit on streams or opens is %d: use 0 (no limit) or more", n)
	}
	check(c.ReadHeaderTimeout > 0, "read_header_timeout is %v: use a time over 0, such as 10s", c.ReadHeaderTimeout)
	check(c.IdleTimeout > 0, "idle_timeout is %v: use a time over 0, such as 90s", c.IdleTimeout)
	check(c.MaxHeaderBytes >= 4096, "max_header_bytes is %d: use at least 4096", c.MaxHeaderBytes)
	return errors.Join(append(errs, c.Sock.Validate(), c.WS.Validate())...)
}

func validOrigin(o string) bool {
	if o == "*" || o == "null" {
		return true
	}
	u, err := url.Parse(o)
	return err == nil && u.Scheme != "" && u.Host != "" && u.Path == "" && u.RawQuery == "" && u.User == nil
}
