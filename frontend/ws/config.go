package ws

import "fmt"

// MaxMessage is the most bytes of a message from a device, inflated; longer ones are 1009. SPEC 6.
const MaxMessage = 64 << 10

// Config sets up handshakes.
type Config struct {
	Deflate     bool `yaml:"deflate" doc:"Accept permessage-deflate when a device offers it. It costs several times the CPU of writing the push uncompressed: use it where traffic is expensive."`
	DeflateOver int  `yaml:"deflate_over" unit:"bytes" doc:"Payloads larger than this are compressed. Smaller ones gain too little. 0: all."`
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
