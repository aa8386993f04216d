package route

import (
	"fmt"
	"time"
)

// Config is how long the router looks for an owner.
type Config struct {
	// A shard of a gateway that died has a new owner by then.
	Deadline time.Duration `yaml:"deadline" doc:"The longest time that one call looks for the owner of a user, over all attempts, unless the caller's deadline is earlier. From 100ms to 1m."`
	PauseMin time.Duration `yaml:"pause_min" doc:"The first pause between attempts if no newer view of the shards arrives. Each further pause is twice as long. A random part, between half and all, is waited."`
	PauseMax time.Duration `yaml:"pause_max" doc:"The longest pause between attempts."`
}

// Default is what serves a cluster in one datacentre.
func Default() Config {
	return Config{Deadline: 5 * time.Second, PauseMin: 10 * time.Millisecond, PauseMax: 250 * time.Millisecond}
}

// Validate reports the first setting that cannot be.
func (c *Config) Validate() error {
	switch {
	case c.Deadline < 100*time.Millisecond || c.Deadline > time.Minute:
		return fmt.Errorf("route: deadline is %v: it must be 100ms to 1m", c.Deadline)
	case c.PauseMin < time.Millisecond || c.PauseMin > time.Second:
		return fmt.Errorf("route: pause_min is %v: it must be 1ms to 1s", c.PauseMin)
	case c.PauseMax < c.PauseMin || c.PauseMax > c.Deadline:
		return fmt.Errorf("route: pause_max is %v: it must be pause_min, %v, to deadline, %v", c.PauseMax, c.PauseMin, c.Deadline)
	}
	return nil
}
