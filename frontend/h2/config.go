package h2

import (
	"errors"
	"fmt"
	"time"
)

// Config bounds what the peers of a gRPC port may ask for.
type Config struct {
	UnknownConnections int `yaml:"unknown_connections" doc:"The most connections of this port that have not shown a valid token or key yet. Beyond it a new connection waits a moment, and then the oldest one is closed. Raise it if more new clients than this connect within one second."`
	UnknownCalls       int `yaml:"unknown_calls" doc:"The most calls at the same time on such a connection, from 1 to 100. Further ones wait in the client until one call has shown a valid token or key."`
	ResetsPerSecond    int `yaml:"resets_per_second" doc:"How many calls per second a client may reset on one connection (by cancelling them or by a deadline), with a burst of ten times as many; a tenth of it until a valid token or key was shown. Beyond it the connection ends with ENHANCE_YOUR_CALM. At least 10."`
}

// Default is right for a port of devices; one of backends has fewer clients.
func Default() Config {
	return Config{UnknownConnections: 4096, UnknownCalls: 16, ResetsPerSecond: 200}
}

// Validate says what is wrong with c, all of it.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("frontend/h2: check configuration: "+format, args...))
		}
	}
	check(c.UnknownConnections > 0, "unknown_connections is %d: use at least 1, such as 4096", c.UnknownConnections)
	check(c.UnknownCalls > 0 && c.UnknownCalls <= mostUnknown, "unknown_calls is %d: use 1 to %d, such as 16", c.UnknownCalls, mostUnknown)
	check(c.ResetsPerSecond >= 10, "resets_per_second is %d: use at least 10, such as 200", c.ResetsPerSecond)
	return errors.Join(errs...)
}

// Port is what its owner knows of a port.
type Port struct {
	Name  string // the label of its metrics: devices or backends
	Opens string // the full method whose calls show a token in their first message, such as /ramen.v1.Devices/Stream; its handler calls Known

	Calls          int // most calls at once of a known connection, as grpc announces it
	CallsPerSecond int // that a known connection may open, with a burst of twice as many; 0: no limit
	Unfinished     int // bytes: most of messages that have not come to their end, all connections together

	// Grace is how long an unknown connection may be there before it makes way for another: as long as a good client's handshake
	// and first call take.
	Grace time.Duration

	// Admit looks at a call before grpc makes anything of it. known: it bears a good key. An error, a gRPC status, refuses it. It
	// must not block. nil: there are no keys.
	Admit Admit
}

const (
	// mostUnknown is how many calls an unknown connection may have open at once whatever it was told: clients may open that many
	// before they have read the limit (RFC 9113 6.5.2 advises against less than 100).
	mostUnknown = 100
	// mostOthers is how many calls of other services (health, reflection) unknown connections have together; beyond it the
	// oldest ends. One is a goroutine, about 10 KiB.
	mostOthers = 1024
	// linger is how long a connection stays behind GOAWAY: closed at once, with unread input, it would be reset, and the peer would
	// never see why.
	linger = 500 * time.Millisecond
	// sweepEvery is the step in which the age of unfinished messages is counted.
	sweepEvery = time.Second
	// slowAfter and slowRate bound how slowly a message may come: after 10 s, 16 KiB a second.
	slowAfter = 10
	slowRate  = 16 << 10
)
