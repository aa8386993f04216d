package sock

import (
	"errors"
	"fmt"
	"time"
)

// Config sets up a Loop and its listeners.
type Config struct {
	// Pollers is the number of epoll sets, a goroutine and 64 KiB each. 0: GOMAXPROCS, since handlers work in the pollers.
	Pollers int `yaml:"pollers"`
	// Portable serves all connections with goroutines, as on systems without epoll. For comparison.
	Portable bool `yaml:"portable"`
	// MaxKept is the most bytes kept for one connection; more ends it with ErrFull. Default 8 MiB. It has to hold the largest
	// push; the sum over connections is bounded by what the writers keep themselves to.
	MaxKept int `yaml:"max_kept"`
	// Flush is how long a Shutdown may take to send what is kept. Default 10 s.
	Flush time.Duration `yaml:"flush"`
	// Linger is how long after a Shutdown's FIN the peer may take to end its side. Default 2 s.
	Linger time.Duration `yaml:"linger"`

	// UserTimeout is for how long sent bytes may stay unacknowledged (TCP_USER_TIMEOUT). Default 20 s: with heartbeats of 4 s
	// a dead connection is found within 30 s, as PROTOCOL 2.8 demands. 0: the system's, many minutes.
	UserTimeout time.Duration `yaml:"user_timeout"`
	// KeepAlive is the idle time before TCP probes, and that between them. Default 15 s. 0: no probes.
	KeepAlive time.Duration `yaml:"keep_alive"`
	// SendBuffer is the kernel's send buffer in bytes (SO_SNDBUF; the kernel doubles it). 0: the system's, which grows up to
	// megabytes for a slow peer, where a high message then waits behind low ones.
	SendBuffer int `yaml:"send_buffer"`
	// NotSentLowat is how many unsent bytes the kernel holds before it takes no more (TCP_NOTSENT_LOWAT). 0: the system's.
	// It bounds what a high message waits behind without bounding what is in flight.
	NotSentLowat int `yaml:"not_sent_lowat"`
}

// Default is the configuration that a zero file means.
func Default() Config {
	return Config{
		MaxKept:     8 << 20,
		Flush:       10 * time.Second,
		Linger:      2 * time.Second,
		UserTimeout: 20 * time.Second,
		KeepAlive:   15 * time.Second,
	}
}

// Validate says what is wrong with c, all of it.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("frontend/sock: check configuration: "+format, args...))
		}
	}
	check(c.Pollers >= 0 && c.Pollers <= 1024, "pollers is %d: use 0 (one a processor) to 1024", c.Pollers)
	check(c.MaxKept >= 4096, "max_kept is %d bytes: use at least 4096", c.MaxKept)
	check(c.Flush > 0, "flush is %v: use a time over 0, such as 10s", c.Flush)
	check(c.Linger > 0, "linger is %v: use a time over 0, such as 2s", c.Linger)
	check(c.UserTimeout == 0 || c.UserTimeout >= time.Second, "user_timeout is %v: use 0 (the system's) or at least 1s", c.UserTimeout)
	check(c.KeepAlive == 0 || c.KeepAlive >= time.Second, "keep_alive is %v: use 0 (none) or at least 1s", c.KeepAlive)
	check(c.SendBuffer == 0 || c.SendBuffer >= 4096, "send_buffer is %d bytes: use 0 (the system's) or at least 4096", c.SendBuffer)
	check(c.NotSentLowat >= 0, "not_sent_lowat is %d bytes: use 0 (the system's) or more", c.NotSentLowat)
	return errors.Join(errs...)
}
