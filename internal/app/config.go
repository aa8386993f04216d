package app

import (
	"errors"
	"fmt"
	"time"

	"ramen/frontend"
	"ramen/frontend/auth"
	"ramen/frontend/backend"
	"ramen/frontend/route"
	"ramen/gateway"
	"ramen/internal/stores"
	"ramen/protocol"
	"ramen/store/driver"
)

// Config is the whole configuration of a process: the sum of its packages'.
type Config struct {
	Dev          bool          `yaml:"dev" doc:"Development mode: no authentication, listening on loopback only, and pages on localhost may open streams. Never use it on a machine that others can reach."`
	Role         string        `yaml:"role" doc:"What this process is in a cluster: frontend, gateway, controller, or several of them separated by commas. Empty: it stands alone, and is all that is needed."`
	Data         string        `yaml:"data" doc:"Folder of the embedded store. Only one process at a time can use it."`
	Shards       int           `yaml:"shards" doc:"Number of shards of users. It is fixed once there is data, since users are stored by shard: the store refuses another number."`
	ShutdownTime time.Duration `yaml:"shutdown_time" doc:"The longest time that a shutdown may take, frontend.drain_time included. When it is over, the rest of the shutdown is cut short."`

	Listen   Listen          `yaml:"listen" doc:"Addresses as host:port. An empty host listens on every address of the machine; with dev, on 127.0.0.1."`
	TLS      TLS             `yaml:"tls" doc:"Certificates. They are reloaded when their files change. Without a certificate a port speaks cleartext: then put a TLS proxy in front of it."`
	Log      Log             `yaml:"log" doc:"Logs, written to standard error."`
	GRPC     GRPC            `yaml:"grpc" doc:"Settings of both gRPC ports."`
	Auth     auth.Config     `yaml:"auth" doc:"Authentication of devices and backends."`
	Frontend frontend.Config `yaml:"frontend" doc:"Streams of devices."`
	Backend  backend.Config  `yaml:"backend" doc:"Publishes and lists of backends."`
	Route    route.Config    `yaml:"route" doc:"How a frontend finds the owner of a user."`
	Gateway  gateway.Config  `yaml:"gateway" doc:"Mailboxes of users."`
	Store    stores.Config   `yaml:"store" doc:"The store that keeps the mailboxes."`
	Cluster  Cluster         `yaml:"cluster" doc:"How this process takes part in a cluster, where it has a role."`
}

// Listen is where the four ports are. SPEC 3.1.
type Listen struct {
	Devices      string `yaml:"devices" doc:"Devices over HTTP: SSE, WebSocket, long-poll, ack."`
	DevicesGRPC  string `yaml:"devices_grpc" doc:"Devices over gRPC."`
	Backends     string `yaml:"backends" doc:"Backends and operators over HTTP: publish, lists, health, metrics, console."`
	BackendsGRPC string `yaml:"backends_grpc" doc:"Backends over gRPC."`
}

// TLS is the certificates of the two sides, which share nothing.
type TLS struct {
	Devices  auth.CertsConfig `yaml:"devices" doc:"Both ports of devices."`
	Backends auth.CertsConfig `yaml:"backends" doc:"Both ports of backends."`
}

// Log is how the process logs.
type Log struct {
	Level  string `yaml:"level" doc:"Lowest level that is logged: debug, info, warn or error."`
	Format string `yaml:"format" doc:"Format of the lines: text or json."`
}

// GRPC is what both gRPC ports offer beside their service.
type GRPC struct {
	Reflection bool `yaml:"reflection" doc:"Offer server reflection, by which tools such as grpcurl find the services."`
}

// Default is the configuration without a file, a variable or a flag.
func Default() Config {
	return Config{
		Data:         "data",
		Shards:       gateway.Default().ShardCount,
		ShutdownTime: 15 * time.Second,
		Listen:       Listen{Devices: ":8080", DevicesGRPC: ":8081", Backends: ":9080", BackendsGRPC: ":9081"},
		Log:          Log{Level: "info", Format: "text"},
		GRPC:         GRPC{Reflection: true},
		Auth:         auth.Default(),
		Frontend:     frontend.Default(),
		Backend:      backend.Default(),
		Route:        route.Default(),
		Gateway:      gateway.Default(),
		Store:        stores.Default(),
		Cluster:      defaultCluster(),
	}
}

// Validate says what is wrong, section by section, and what would be right.
func (c *Config) Validate() error {
	c.complete()
	return errors.Join(
		c.validateSelf(), c.Auth.Validate(), c.TLS.Devices.Validate(), c.TLS.Backends.Validate(),
		c.validateCluster(), c.Frontend.Validate(), c.Backend.Validate(), c.Route.Validate(), c.Gateway.Validate(), c.Store.Validate(),
	)
}

// complete fills in what follows from other values.
func (c *Config) complete() {
	c.Gateway.ShardCount = c.Shards
	c.Store.Complete(c.Data, c.Shards, c.Gateway.IDRetention)
	c.completeCluster()
	if c.Dev {
		c.Frontend.LoopbackOrigins = true
		for _, a := range []*string{&c.Listen.Devices, &c.Listen.DevicesGRPC, &c.Listen.Backends, &c.Listen.BackendsGRPC} {
			*a = loopback(*a)
		}
	}
}

// StoreParams is what c has stores opened with, whichever they are.
func (c *Config) StoreParams() driver.Params {
	return driver.Params{Dir: c.Data, Shards: c.Shards, IDRetention: c.Gateway.IDRetention}
}

func (c *Config) validateSelf() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Data == "" {
		bad("data is empty; it must name a folder, such as ./data")
	}
	if c.Shards < 1 || c.Shards > 65536 {
		bad("shards is %d; it must be 1 to 65536, 1024 unless you know better", c.Shards)
	}
	if c.ShutdownTime <= c.Frontend.DrainTime {
		bad("shutdown_time is %v; it must be more than frontend.drain_time, %v", c.ShutdownTime, c.Frontend.DrainTime)
	}
	if err := c.checkListen(); err != nil {
		errs = append(errs, err)
	}
	if most := int64(c.Backend.Publish.MaxPayload); c.Gateway.MailboxBytes < most+protocol.MaxHeaders {
		bad("gateway.mailbox_bytes is %d; it must hold a message: backend.publish.max_payload, %d, and %d of headers", c.Gateway.MailboxBytes, most, protocol.MaxHeaders)
	}
	if most := c.Backend.Publish.MaxPayload; c.Backend.Publish.MaxBody < most {
		bad("backend.publish.max_body is %d; it must be at least max_payload, %d", c.Backend.Publish.MaxBody, most)
	}
	if most := c.Backend.Publish.MaxPayload; c.Frontend.Sock.MaxKept < 2*most {
		bad("frontend.sock.max_kept is %d; it must hold the largest push: at least twice backend.publish.max_payload, %d", c.Frontend.Sock.MaxKept, 2*most)
	}
	if _, err := c.Log.level(); err != nil {
		bad("log.level is %q; it must be debug, info, warn or error", c.Log.Level)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format is %q; it must be text or json", c.Log.Format)
	}
	if !c.Dev && c.serves() && !c.Auth.Configured() {
		bad("authentication is not configured: set auth.tokens (secret_file, public_key_file or jwks_file) for devices and auth.keys.file for backends, " +
			"or start with --dev to try RAMEN on this machine only")
	}
	if c.Dev && (c.Auth.Tokens.Configured() || c.Auth.Keys.Configured()) {
		bad("dev turns authentication off, but auth.tokens or auth.keys is set; take one of them away")
	}
	return errors.Join(errs...)
}
