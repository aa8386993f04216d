package devices

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/expect"
)

// Config is where devices connect, and how they behave.
type Config struct {
	URL      string               // of the devices' HTTP port; several, with commas: in turn
	GRPC     string               // host:port of the devices' gRPC port, needed for grpc alone; several likewise
	TLS      *tls.Config          // nil: the system's roots for https, cleartext for gRPC
	Header   []string             // "Name: value" each, for every request
	Expected *expect.Expectations // what devices must get
	Users    [2]uint32            // from, to: the users of this process
	Each     int                  // devices a user
	Mix      Mix                  // transports of the devices
	Shards   int                  // 0: one a processor

	Token func(user, device string) (string, error) // nil: none is sent

	Heartbeat time.Duration // asked for; 0: the server's
	Window    int           // asked for; 0: the transport's most
	AckAfter  time.Duration // two-way: how long acks are joined; 0: with each read
	SSEAck    time.Duration // SSE: how long an ack may take while half a window is not full; 0: 20 s
	Opening   int           // most openings under way a shard; 0: 256
	Timeout   time.Duration // of an opening; 0: 20 s
	Slack     time.Duration // beyond 1.25 intervals, until silence breaks the contract; 0: 500 ms
	Deflate   bool          // WebSocket streams that are light offer permessage-deflate
	Watched   bool          // somebody looks at Progress
	Forget    float64       // share of reopenings without a cursor, 0 to 1
}

func (c *Config) complete(processors int) {
	set := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
	}
	set(&c.SSEAck, 20*time.Second)
	set(&c.Timeout, 20*time.Second)
	set(&c.Slack, 500*time.Millisecond)
	if c.Shards == 0 {
		c.Shards = processors
	}
	if c.Opening == 0 {
		c.Opening = 256
	}
	if len(c.Mix) == 0 {
		c.Mix = Mix{{wire.WSProto, 1}}
	}
}

func (c *Config) validate() error {
	if c.Users[1] <= c.Users[0] || c.Each < 1 || c.Each > 64 {
		return fmt.Errorf("devices: check configuration: users %d to %d with %d devices each: use one or more, and 1 to 64 devices", c.Users[0], c.Users[1], c.Each)
	}
	return nil
}

// Mix is transports with their weights.
type Mix []Share

// Share is one transport's part of a mix.
type Share struct {
	Transport wire.Transport
	Weight    int
}

// ParseMix reads "ws", or "ws=5,sse=3,grpc=2".
func ParseMix(text string) (Mix, error) {
	var m Mix
	for part := range strings.SplitSeq(text, ",") {
		name, weight, has := strings.Cut(strings.TrimSpace(part), "=")
		s := Share{wire.Transport(name), 1}
		if s.Transport == wire.WS {
			s.Transport = wire.WSProto
		}
		if !s.Transport.Valid() {
			return nil, fmt.Errorf("transport %q is unknown: use ws-proto (ws), ws-json, sse, grpc and poll, as in ws=5,sse=3", name)
		}
		if has {
			n, err := strconv.Atoi(weight)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("the weight of %s is %q: use a number from 1 on", name, weight)
			}
			s.Weight = n
		}
		m = append(m, s)
	}
	if len(m) == 0 {
		return nil, errors.New("no transport: use ws, sse, grpc, poll or a mix such as ws=5,sse=3")
	}
	return m, nil
}

// pick is the transport of the i-th device: the shares are interleaved.
func (m Mix) pick(i int) wire.Transport {
	total := 0
	for _, s := range m {
		total += s.Weight
	}
	at := i % total
	for _, s := range m {
		if at -= s.Weight; at < 0 {
			return s.Transport
		}
	}
	return m[0].Transport
}
