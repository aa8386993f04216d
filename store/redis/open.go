package redis

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"ramen/protocol"
)

// Open opens the store on the servers, and creates it where there is none.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	cfg.Defaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	quieten()
	s := &Store{cfg: cfg, log: cfg.Log, nodes: make(map[string]*node), identityBusy: make(chan struct{}, 1), stop: func() {}}
	s.keys = make([]shardKeys, cfg.Shards)
	for i := range s.keys {
		s.keys[i] = newShardKeys(cfg.Prefix, protocol.ShardID(i))
	}
	s.cacheLimit = fmt.Sprintf("<%d", cfg.CacheMailboxBytes)
	s.holds = make([]atomic.Pointer[heldClaim], cfg.Shards)
	s.seen = make([]atomic.Pointer[seenClaim], cfg.Shards)
	rand.Read(s.nonce[:])
	s.order.Store(uint64(time.Now().UnixNano()))
	var err error
	if s.metrics, err = newMetrics(cfg.Registerer); err != nil {
		return nil, err
	}
	if err := s.connect(ctx); err != nil {
		_ = s.closeClients()
		s.metrics.all.Unregister(cfg.Registerer)
		return nil, fmt.Errorf("store/redis: open: %w", err)
	}
	var keeping context.Context
	keeping, s.stop = context.WithCancel(context.Background())
	s.running.Go(func() { s.keep(keeping) })
	return s, nil
}

// quiet is the client's logger: what goes wrong is in the errors of calls, and told once.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var quieten = sync.OnceFunc(func() { goredis.SetLogger(quiet{}) })

func (s *Store) connect(ctx context.Context) error {
	switch s.cfg.Mode {
	case Cluster:
		s.cluster = goredis.NewClusterClient(s.cfg.clusterOptions())
	case Sentinel:
		o := s.cfg.failoverOptions()
		o.OnConnect = s.prepare
		s.single = newNode(s, s.cfg.Master, goredis.NewFailoverClient(o))
	default:
		s.single = s.newNode(s.cfg.Addrs[0])
	}
	if err := s.inspect(ctx); err != nil {
		return err
	}
	if err := s.kept(); err != nil {
		return err
	}
	return s.openIdentity(ctx, s.any())
}

// unused bounds a read or write whose context has no deadline: there is none such.
const unused = 10 * time.Second

// nodeOptions are those of one server. Time-outs are the contexts'; nothing is tried again by the client: what is not known to have
// happened is ours to see.
func (c *Config) nodeOptions(addr string) *goredis.Options {
	return &goredis.Options{
		Addr: addr, DB: c.DB, Username: c.Username, Password: c.Password, TLSConfig: c.TLS, Protocol: 2,
		ContextTimeoutEnabled: true, MaxRetries: -1,
		DialTimeout: c.DialTimeout, DialerRetries: 1, ReadTimeout: unused, WriteTimeout: unused,
		PoolSize: c.PoolSize, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}

func (c *Config) failoverOptions() *goredis.FailoverOptions {
	return &goredis.FailoverOptions{
		MasterName: c.Master, SentinelAddrs: c.Addrs, SentinelUsername: c.SentinelUsername, SentinelPassword: c.SentinelPassword,
		DB: c.DB, Username: c.Username, Password: c.Password, TLSConfig: c.TLS, Protocol: 2,
		ContextTimeoutEnabled: true, MaxRetries: -1,
		DialTimeout: c.DialTimeout, DialerRetries: 1, ReadTimeout: unused, WriteTimeout: unused,
		PoolSize: c.PoolSize, DisableIdentity: true,
	}
}

// clusterOptions are those of the client that knows which node has a slot. Calls go by clients of ours.
func (c *Config) clusterOptions() *goredis.ClusterOptions {
	return &goredis.ClusterOptions{
		Addrs: c.Addrs, Username: c.Username, Password: c.Password, TLSConfig: c.TLS, Protocol: 2,
		ContextTimeoutEnabled: true, MaxRedirects: 3, MaxRetries: -1, ClusterStateReloadInterval: time.Second,
		DialTimeout: c.DialTimeout, DialerRetries: 1, ReadTimeout: unused, WriteTimeout: unused,
		PoolSize: 4, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
}
