package sock

import (
	"errors"
	"fmt"
	"time"
)

// Config sets up a Loop and its listeners.
type Config struct {
	Pollers  int  `yaml:"pollers" doc:"Number of event loops, each with one goroutine and 64 KiB. 0: one per processor."`
	Portable bool `yaml:"portable" doc:"Serve every connection with goroutines, as on systems without epoll. It costs several KiB more per stream; for comparisons."`
	// The sum over connections is bounded by the writers' own bounds.
	MaxKept int           `yaml:"max_kept" unit:"bytes" doc:"The most bytes buffered for one connection whose socket is full; beyond it the connection ends. Must hold the largest push."`
	Flush   time.Duration `yaml:"flush" doc:"How long a closing connection may take to send what is buffered."`
	Linger  time.Duration `yaml:"linger" doc:"How long to wait after that for the peer to close its side."`

	// SPEC 2.8 demands the 30 s.
	UserTimeout  time.Duration `yaml:"user_timeout" doc:"How long sent bytes may stay unacknowledged by TCP (TCP_USER_TIMEOUT). With heartbeats every 4s, 20s finds a dead connection within 30s. 0: the system's default, many minutes."`
	KeepAlive    time.Duration `yaml:"keep_alive" doc:"Idle time before the first TCP keepalive probe, and the interval of further ones. 0: no probes."`
	SendBuffer   int           `yaml:"send_buffer" unit:"bytes" doc:"The kernel's send buffer of a connection (SO_SNDBUF, which the kernel doubles). 0: the system's default, which grows with what is in flight. A small one slows down fast links with a long delay."`
	NotSentLowat int           `yaml:"not_sent_lowat" unit:"bytes" doc:"How many unsent bytes make a socket count as full (TCP_NOTSENT_LOWAT); below half of it, it is writable again. It bounds what a high priority message waits behind on a slow link, but not what is in flight. 0: the system's default, megabytes."`
}

// Default is the configuration that a zero file means.
func Default() Config {
	return Config{
		MaxKept:     8 << 20,
		Flush:       10 * time.Second,
		Linger:      2 * time.Second,
		UserTimeout: 20 * time.Second,
		KeepAlive:   15 * time.Second,

		NotSentLowat: 16 << 10,
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
