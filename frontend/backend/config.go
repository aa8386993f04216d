package backend

import (
	"fmt"

	"ramen/frontend/h2"
	"ramen/protocol"
)

// Config is what backends may ask for.
type Config struct {
	Publish protocol.PublishLimits `yaml:"publish" doc:"What one publish may ask for."`
	// Users are counted one by one. The limit a user is the gateway's.
	PublishesPerSecond float64 `yaml:"publishes_per_second" doc:"Messages a second that this process takes, users counted one by one; beyond it they are resource_exhausted. 0: no limit."`
	// With less than publish.max_batch a full batch could never pass.
	PublishBurst   int   `yaml:"publish_burst" doc:"How many may come at once under publishes_per_second; at least publish.max_batch."`
	BytesUnderWay  int64 `yaml:"bytes_under_way" unit:"bytes" doc:"Most bytes of all publishes that are not answered yet; beyond it they are unavailable. Memory is about twice that at worst. Half of it is for what waits for its client: bodies that are still coming, and streams whose answers are not read; of all of it one stream may have a thirty-second, a connection an eighth."`
	ListBytes      int64 `yaml:"list_bytes" unit:"bytes" doc:"Most bytes of all lists (of messages, of devices) that their clients are reading just now; beyond it lists are refused, to be asked for again. One alone may be larger. At least 1MiB."`
	StreamRequests int   `yaml:"stream_requests" doc:"Requests of one PublishStream that are read ahead of the answers; then it is not read until some are answered."`
	GRPCStreams    int   `yaml:"grpc_streams" doc:"Most calls at once of one gRPC connection, 1 or more; further ones wait in the client."`

	GRPC h2.Config `yaml:"grpc" doc:"What the peers of the gRPC port may ask for."`
}

// Default is what SPEC names, without a limit on the rate.
func Default() Config {
	c := Config{Publish: protocol.DefaultPublishLimits(), PublishBurst: 2000, BytesUnderWay: 64 << 20, ListBytes: 64 << 20, StreamRequests: 256, GRPCStreams: 1000, GRPC: h2.Default()}
	c.GRPC.UnknownConnections = 512 // backends are few, and their connections have larger buffers
	return c
}

// Validate reports the first setting that cannot be.
func (c *Config) Validate() error {
	if err := c.Publish.Validate(); err != nil {
		return fmt.Errorf("backend: %w", err)
	}
	switch {
	case c.PublishesPerSecond < 0:
		return fmt.Errorf("backend: publishes_per_second is %v: it must be 0, for no limit, or more", c.PublishesPerSecond)
	case c.PublishesPerSecond > 0 && c.PublishBurst < c.Publish.MaxBatch:
		return fmt.Errorf("backend: publish_burst is %d: it must be at least publish.max_batch, %d", c.PublishBurst, c.Publish.MaxBatch)
	case c.BytesUnderWay < int64(c.Publish.MaxBody):
		return fmt.Errorf("backend: bytes_under_way is %d: it must be at least publish.max_body, %d", c.BytesUnderWay, c.Publish.MaxBody)
	case c.ListBytes < 1<<20:
		return fmt.Errorf("backend: list_bytes is %d: it must be at least %d", c.ListBytes, 1<<20)
	case c.StreamRequests < 1 || c.StreamRequests > 1<<16:
		return fmt.Errorf("backend: stream_requests is %d: it must be 1 to %d", c.StreamRequests, 1<<16)
	case c.GRPCStreams < 1 || c.GRPCStreams > 1<<30:
		return fmt.Errorf("backend: grpc_streams is %d: it must be at least 1, such as 1000", c.GRPCStreams)
	}
	return c.GRPC.Validate()
}
