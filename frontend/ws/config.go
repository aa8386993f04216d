package ws

import "fmt"

// MaxMessage is the most bytes of a message from a device, inflated; longer ones are 1009. SPEC 6.
const MaxMessage = 64 << 10

// Config sets up handshakes.
type Config struct {
	Deflate     bool `yaml:"deflate" doc:"Agree to permessage-deflate where a device offers it. It costs several times the CPU of the write that it makes shorter; worth it where traffic is dear."`
	DeflateOver int  `yaml:"deflate_over" unit:"bytes" doc:"Bytes of a payload over which it is compressed; below, headers and the lack of repetition eat what is won. 0: all."`
}

// Default is the configuration that an empty file means.
func Default() Config { return Config{DeflateOver: 512} }

// Validate says what is wrong with c.
func (c Config) Validate() error {
	if c.DeflateOver < 0 {
		return fmt.Errorf("frontend/ws: check configuration: deflate_over is %d bytes: use 0 (all payloads) or more", c.DeflateOver)
	}
	return nil
}
