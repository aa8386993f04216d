package baseline

import (
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Config is where the baseline server listens.
type Config struct {
	Devices   string        `yaml:"devices" doc:"host:port of the devices' port: SSE and WebSocket."`
	Backends  string        `yaml:"backends" doc:"host:port of the publish port: publish requests and answers of protobuf, each behind its length."`
	Heartbeat time.Duration `yaml:"heartbeat" doc:"Interval of heartbeats where a device asks for none, 1s to 60s."`
}

// Default listens on free loopback ports.
func Default() Config {
	return Config{Devices: "127.0.0.1:0", Backends: "127.0.0.1:0", Heartbeat: 4 * time.Second}
}

// Validate says what is wrong with c.
func (c Config) Validate() error {
	for _, addr := range []string{c.Devices, c.Backends} {
		if at, err := netip.ParseAddrPort(addr); err != nil || !at.Addr().Is4() {
			return fmt.Errorf("baseline: check configuration: %q is not an address: use IPv4 and port, such as 127.0.0.1:0", addr)
		}
	}
	if c.Heartbeat < time.Second || c.Heartbeat > time.Minute {
		return fmt.Errorf("baseline: check configuration: heartbeat is %v: use 1s to 60s", c.Heartbeat)
	}
	return nil
}

// banner writes the addresses, as ramen serve does.
func banner(w io.Writer, devices, backends string) {
	fmt.Fprintf(w, "ramen load baseline: the baseline server. It writes the same bytes as RAMEN, and does nothing else\n\n")
	fmt.Fprintf(w, "  devices    http://%s   SSE, WebSocket\n", devices)
	fmt.Fprintf(w, "  backends   http://%s   publish requests, each behind its length\n", backends)
}
