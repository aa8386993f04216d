package redis

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Mode is how the servers are arranged.
type Mode uint8

// The modes.
const (
	Single   Mode = iota // one server
	Sentinel             // a master and its replicas, which sentinels watch
	Cluster              // masters that share the slots
)

// Durability is what a server must have done before an Append is answered nil.
type Durability uint8

// The durabilities.
const (
	Reply    Durability = iota // it has replied
	Replicas                   // so many replicas have it too (WAIT)
	Fsync                      // it is on the server's disk: appendfsync always, or WAITAOF
)

var durabilityNames = [...]string{"reply", "replicas", "fsync"}

func (d Durability) String() string { return durabilityNames[d] }

// Config of a Store. Defaults fills in what is zero.
type Config struct {
	Mode             Mode
	Addrs            []string // host:port of the server, of sentinels, or of some of the cluster
	Master           string   // its name, to sentinels
	DB               int      // number of the database; 0 in a cluster
	Username         string   // empty: the default user
	Password         string   // empty: none
	SentinelUsername string
	SentinelPassword string
	TLS              *tls.Config // nil: in the clear
	Prefix           string      // of all keys, so that stores can share a server; zero: ramen

	Shards      int           // of users; a store with another number is refused
	IDRetention time.Duration // how long ids of accepted messages are remembered; zero: 5 min. SPEC 9
	DeviceTTL   time.Duration // how long a device is kept after it was seen; at least gateway.device_unseen; zero: 30 days

	// Cache: mailboxes are copies of what another store has. One that was not put here by Replace gets no devices, and what expires is not
	// looked for.
	Cache bool
	// CacheMailboxBytes is about the most that a mailbox of a Cache has: one that grows beyond is dropped; zero: 1 MiB. What is put there is not
	// compared with it.
	CacheMailboxBytes int

	Durability Durability
	Replicas   int // of Durability Replicas; zero: 1

	PoolSize         int           // connections a server, at most; zero: 32
	Pipelines        int           // under way to a server at once, at most, of each kind of call; zero: 8
	MaxInFlight      int           // calls of one kind that wait for a server, at most; beyond it they are refused; zero: 16,384
	MaxInFlightBytes int64         // of these calls; zero: 64 MiB
	DialTimeout      time.Duration // zero: 300 ms

	Log        *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: metrics are not registered
}

// Defaults fills in what is zero.
func (c *Config) Defaults() {
	setDefault(&c.Prefix, "ramen")
	setDefault(&c.IDRetention, 5*time.Minute)
	setDefault(&c.DeviceTTL, 30*24*time.Hour)
	setDefault(&c.PoolSize, 32)
	setDefault(&c.Pipelines, 8)
	setDefault(&c.MaxInFlight, 16<<10)
	setDefault(&c.MaxInFlightBytes, 64<<20)
	setDefault(&c.CacheMailboxBytes, 1<<20)
	setDefault(&c.DialTimeout, 300*time.Millisecond)
	if c.Durability == Replicas {
		setDefault(&c.Replicas, 1)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](p *T, to T) {
	if zero := *new(T); *p == zero {
		*p = to
	}
}

// Validate reports the first setting that cannot be.
func (c *Config) Validate() error {
	for _, x := range []struct {
		name string
		ok   bool
		must string
	}{
		{"the address", len(c.Addrs) > 0 && !(c.Mode == Single && len(c.Addrs) > 1), "name one server, or some sentinels or nodes of a cluster"},
		{"the master's name", (c.Master != "") == (c.Mode == Sentinel), "be there with sentinels, and only with them"},
		{"the database", c.DB >= 0 && (c.DB == 0 || c.Mode != Cluster), "be 0 in a cluster, and else at least 0"},
		{"prefix", c.Prefix != "" && !strings.ContainsAny(c.Prefix, "{} \n"), "be text without braces and spaces"},
		{"the number of shards", c.Shards > 0, "be at least 1"},
		{"replicas", c.Replicas >= 0 && (c.Replicas > 0) == (c.Durability == Replicas), "be at least 1 with durability=replicas, and be left out otherwise"},
		{"the bytes of a cached mailbox", c.CacheMailboxBytes > 0, "be at least 1"},
		{"pool_size", c.PoolSize >= 4, "be at least 4"},
		{"pipelines", c.Pipelines >= 1 && 3*c.Pipelines <= 3*c.PoolSize, "be 1 to pool_size"},
		{"max_in_flight", c.MaxInFlight >= 1, "be at least 1"},
		{"max_in_flight_bytes", c.MaxInFlightBytes >= 1<<20, "be at least 1 MiB"},
		{"dial_timeout", c.DialTimeout >= time.Millisecond, "be at least 1ms"},
		{"device_ttl", c.DeviceTTL >= time.Minute, "be at least 1m"},
		{"the retention of ids", c.IDRetention >= time.Second, "be at least 1s"},
	} {
		if !x.ok {
			return fmt.Errorf("store/redis: %s must %s", x.name, x.must)
		}
	}
	return nil
}
