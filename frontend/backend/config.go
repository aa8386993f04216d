package backend

import (
	"fmt"

	"ramen/frontend/h2"
	"ramen/protocol"
)

// Config is what backends may ask for.
type Config struct {
	Publish protocol.PublishLimits `yaml:"publish" doc:"Limits on one publish."`
	// Users are counted one by one. The limit a user is the gateway's.
	PublishesPerSecond float64 `yaml:"publishes_per_second" doc:"The most messages per second that this process accepts, each user of a message counted. Beyond it publishes are resource_exhausted. 0: no limit."`
	// With less than publish.max_batch a full batch could never pass.
	PublishBurst   int   `yaml:"publish_burst" doc:"The burst allowed above publishes_per_second. At least publish.max_batch."`
	BytesUnderWay  int64 `yaml:"bytes_under_way" unit:"bytes" doc:"The most bytes of publishes that are not answered yet; beyond it publishes are unavailable. Memory in use can be twice as much. Half of it is for requests that wait for their client: bodies that are still arriving, and streams whose answers are not read. One stream may use 1/32 of all of it, one connection 1/8."`
	ListBytes      int64 `yaml:"list_bytes" unit:"bytes" doc:"The most bytes of all lists (of messages, of devices) that clients are reading at one time. Beyond it a list is refused, and the client tries again. A single list may be larger. At least 1MiB."`
	StreamRequests int   `yaml:"stream_requests" doc:"How many requests of one PublishStream are read ahead of their answers. At that number reading stops until some are answered."`
	GRPCStreams    int   `yaml:"grpc_streams" doc:"The most calls at the same time on one gRPC connection, 1 or more. Further ones wait in the client."`

	GRPC h2.Config `yaml:"grpc" doc:"Limits on gRPC connections."`
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
