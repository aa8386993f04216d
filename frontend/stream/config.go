package stream

import (
	"errors"
	"fmt"
	"time"
)

// Config is how streams behave.
type Config struct {
	Heartbeat    time.Duration `yaml:"heartbeat" doc:"Interval of heartbeats where the device asks for none, from 1s to 60s. A longer one saves batteries, but dead connections are found later: a device gives up after 7/4 of it."`
	MaxAge       time.Duration `yaml:"max_age" doc:"Age at which a stream is told to move (less a random tenth), so that load spreads evenly. 0: never."`
	DrainTime    time.Duration `yaml:"drain_time" doc:"How long a stream lives after a goaway for drain or rebalance. Devices reconnect within 4/5 of it: raise it if the wave of reconnects at a shutdown is too steep."`
	TooSlow      time.Duration `yaml:"too_slow" doc:"How long bytes may wait for a socket that accepts none before the stream ends as too_slow. At least 1s. On plain TCP a shorter sock.user_timeout ends the stream first, counted as gone."`
	OpenTimeout  time.Duration `yaml:"open_timeout" doc:"The longest time to open a stream: until the first gRPC frame, and until the owner's answer."`
	DetachedTime time.Duration `yaml:"detached_time" doc:"How long a stream whose gateway was lost looks for the new owner before it ends as unavailable."`
	Reopens      int           `yaml:"reopens" doc:"How many detached streams are opened at their new owner at the same time; the others wait."`

	Credit    int `yaml:"credit" unit:"bytes" doc:"The most bytes of pushes in flight to one device: a high priority message waits behind at most as much. A larger value uses fast links with a long delay better."`
	PollBytes int `yaml:"poll_bytes" unit:"bytes" doc:"The most bytes of pushes in one long-poll answer. At least 1KiB. One push always fits."`
}

// The bounds of the interval of heartbeats. SPEC 4.
const (
	MinHeartbeat = time.Second
	MaxHeartbeat = 60 * time.Second
)

// Default is the configuration that a zero file means.
func Default() Config {
	return Config{
		Heartbeat:    4 * time.Second,
		MaxAge:       30 * time.Minute,
		DrainTime:    5 * time.Second,
		TooSlow:      30 * time.Second,
		OpenTimeout:  10 * time.Second,
		DetachedTime: 30 * time.Second,
		Reopens:      256,
		Credit:       32 << 10,
		PollBytes:    1 << 20,
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
	check(c.Heartbeat >= MinHeartbeat && c.Heartbeat <= MaxHeartbeat, "heartbeat is %v: use 1s to 60s", c.Heartbeat)
	check(c.MaxAge == 0 || c.MaxAge >= time.Second, "max_age is %v: use 0 (never) or at least 1s", c.MaxAge)
	check(c.DrainTime > 0 && c.DrainTime <= 10*time.Minute, "drain_time is %v: use a time up to 10m, such as 5s", c.DrainTime)
	check(c.TooSlow >= time.Second, "too_slow is %v: use at least 1s", c.TooSlow)
	check(c.OpenTimeout > 0, "open_timeout is %v: use a time over 0, such as 10s", c.OpenTimeout)
	check(c.DetachedTime > 0, "detached_time is %v: use a time over 0, such as 30s", c.DetachedTime)
	check(c.Reopens > 0, "reopens is %d: use at least 1", c.Reopens)
	check(c.Credit >= 1024 && c.Credit <= 1<<30, "credit is %d bytes: use 1024 to 1GiB", c.Credit)
	check(c.PollBytes >= 1024 && c.PollBytes <= 1<<30, "poll_bytes is %d bytes: use 1024 to 1GiB", c.PollBytes)
	return errors.Join(errs...)
}
