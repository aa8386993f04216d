package linkgrpc

import (
	"fmt"
	"time"
)

// Config has the bounds of links. Both ends of a link have the same, or near to it.
type Config struct {
	KeepAlive  time.Duration `yaml:"keepalive" doc:"How long a link says nothing before it sends a heartbeat. A peer that is silent for 2.5 times as long is gone."`
	LinkBytes  int           `yaml:"link_bytes" unit:"bytes" doc:"What may wait to be sent on one link. Streams get no further pushes while half of it waits; where it is reached the link is cut."`
	CallBytes  int           `yaml:"call_bytes" unit:"bytes" doc:"What the calls under way on one link may take in all. Further ones wait, until their deadline."`
	PauseMin   time.Duration `yaml:"pause_min" doc:"The pause after the first attempt to connect that failed. It doubles with each; half of it is by chance."`
	PauseMax   time.Duration `yaml:"pause_max" doc:"The longest pause between two attempts to connect."`
	ConnectFor time.Duration `yaml:"connect_for" doc:"How long one attempt to connect may take, until the gateway has answered."`
}

// Default is what fits to machines that stand in one place.
func Default() Config {
	return Config{
		KeepAlive:  time.Second, // DESIGN: found within 2.5 s, before a lease of 3 s ends
		LinkBytes:  64 << 20,
		CallBytes:  32 << 20,
		PauseMin:   50 * time.Millisecond,
		PauseMax:   time.Second,
		ConnectFor: 2 * time.Second,
	}
}

// The least that bounds must allow: some of the largest messages.
const minBytes = 4 << 20

// Validate says which value is out of its range.
func (c *Config) Validate() error {
	for _, d := range []struct {
		name      string
		is        time.Duration
		low, high time.Duration
	}{
		{"keepalive", c.KeepAlive, 10 * time.Millisecond, time.Minute},
		{"pause_min", c.PauseMin, time.Millisecond, time.Minute},
		{"pause_max", c.PauseMax, c.PauseMin, time.Hour},
		{"connect_for", c.ConnectFor, 10 * time.Millisecond, time.Minute},
	} {
		if d.is < d.low || d.is > d.high {
			return fmt.Errorf("linkgrpc: %s is %v: use %v to %v", d.name, d.is, d.low, d.high)
		}
	}
	if c.LinkBytes < minBytes || c.CallBytes < minBytes {
		return fmt.Errorf("linkgrpc: link_bytes is %d and call_bytes is %d: use at least %d for each", c.LinkBytes, c.CallBytes, minBytes)
	}
	return nil
}

// silence is how long a peer says nothing before it is taken for gone. It is seen two ticks later at the latest: within 2.5 times KeepAlive.
func (c *Config) silence() time.Duration { return 2 * c.KeepAlive }

// tick is how often a link is looked at.
func (c *Config) tick() time.Duration { return c.KeepAlive / 4 }
