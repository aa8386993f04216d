package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	goredis "github.com/redis/go-redis/v9"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/driver"
)

// Driver opens and checks stores on Redis and Valkey.
func Driver() driver.Driver {
	return driver.Driver{
		Schemes: []string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"},
		Open: func(ctx context.Context, p driver.Params) (store.Store, error) {
			cfg, err := configFrom(p)
			if err != nil {
				return nil, err
			}
			s, err := Open(ctx, cfg)
			if err != nil {
				return nil, err
			}
			return s, nil
		},
		Check: func(ctx context.Context, p driver.Params) (driver.Report, error) {
			cfg, err := configFrom(p)
			if err != nil {
				return driver.Report{}, err
			}
			r := &report{cfg: cfg}
			err = r.check(ctx)
			return r.Report, wrap("check", err)
		},
		Memory: func(p driver.Params) (all, outside int64) {
			cfg, err := configFrom(p)
			if err != nil {
				return 0, 0
			}
			return cfg.MaxInFlightBytes * 2, 0
		},
		Remote: true,
	}
}

// report is a check of a store without changing it.
type report struct {
	driver.Report
	cfg     Config
	broken  error
	masters int // that were asked, and servers that did not say what they are
	synced  int // of these: a reply means that the write is on the disk
}

func (r *report) check(ctx context.Context) error {
	quieten()
	defer func() {
		switch {
		case r.cfg.Cache:
			r.Durability = "It is a cache: nothing that was accepted rests on it."
		case r.broken != nil:
			r.Durability = fmt.Sprintf("None: durability=%s does not hold, or the store cannot be used, and ramen serve refuses to start on it.", r.cfg.Durability)
		default:
			r.Durability = r.cfg.promise(r.masters > 0 && r.synced == r.masters)
		}
	}()
	var client goredis.UniversalClient
	switch r.cfg.Mode {
	case Cluster:
		c := goredis.NewClusterClient(r.cfg.clusterOptions())
		client = c
		defer c.Close()
		if err := r.nodes(ctx, c); err != nil {
			return err
		}
	case Sentinel:
		r.sentinels(ctx)
		c := goredis.NewFailoverClient(r.cfg.failoverOptions())
		client = c
		defer c.Close()
		r.server(ctx, "master "+r.cfg.Master, c)
	default:
		c := goredis.NewClient(r.cfg.nodeOptions(r.cfg.Addrs[0]))
		client = c
		defer c.Close()
		r.server(ctx, r.cfg.Addrs[0], c)
	}
	reached := false
	for _, s := range r.Servers {
		reached = reached || s.Err == nil && s.Role != "sentinel"
	}
	if !reached {
		return errNoServer
	}
	if r.broken != nil {
		return r.broken
	}
	return r.store(ctx, client)
}

// server asks one server.
func (r *report) server(ctx context.Context, addr string, c *goredis.Client) {
	srv, err := ask(ctx, addr, c)
	if err != nil {
		r.Servers = append(r.Servers, driver.Server{Address: addr, Err: err})
		r.masters++
		return
	}
	role := srv.role
	if role == "slave" {
		role = "replica"
	}
	r.Servers = append(r.Servers, driver.Server{Address: addr, Version: srv.String(), Role: role})
	if srv.role == "slave" && r.cfg.Mode == Cluster {
		return // its master counts
	}
	r.masters++
	if srv.syncsBeforeReply() && !srv.noFsync {
		r.synced++
	}
	for _, f := range r.cfg.findings(srv) {
		r.Problems = append(r.Problems, f.text)
		if f.fatal && r.broken == nil {
			r.broken = fmt.Errorf("%w: %s", ErrUnfit, f.text)
		}
	}
}

// nodes asks the nodes of a cluster.
func (r *report) nodes(ctx context.Context, c *goredis.ClusterClient) error {
	//lint:ignore SA1019 CLUSTER SLOTS is what the client routes by
	ranges, err := c.ClusterSlots(ctx).Result()
	if err != nil {
		for _, addr := range r.cfg.Addrs {
			r.Servers = append(r.Servers, driver.Server{Address: addr, Err: err})
		}
		return err
	}
	seen, slots := make(map[string]bool), 0
	for _, s := range ranges {
		slots += s.End - s.Start + 1
		for _, n := range s.Nodes {
			if seen[n.Addr] {
				continue
			}
			seen[n.Addr] = true
			one := goredis.NewClient(r.cfg.nodeOptions(n.Addr))
			r.server(ctx, n.Addr, one)
			_ = one.Close()
		}
		if len(s.Nodes) < 2 {
			r.Problems = append(r.Problems, fmt.Sprintf("slots %d to %d have no replica: with their node goes what is in them; give each master one", s.Start, s.End))
		}
	}
	if slots < 16384 {
		r.Problems = append(r.Problems, fmt.Sprintf("%d of 16384 slots are served: assign the others, or users in them cannot be served", slots))
	}
	return nil
}

// sentinels asks them.
func (r *report) sentinels(ctx context.Context) {
	for _, addr := range r.cfg.Addrs {
		o := r.cfg.nodeOptions(addr)
		o.Username, o.Password, o.DB = r.cfg.SentinelUsername, r.cfg.SentinelPassword, 0
		c := goredis.NewSentinelClient(o)
		known, err := c.GetMasterAddrByName(ctx, r.cfg.Master).Result()
		if errors.Is(err, goredis.Nil) {
			err = fmt.Errorf("it watches no master %q", r.cfg.Master)
		}
		s := driver.Server{Address: addr, Role: "sentinel", Err: err}
		if err == nil && len(known) == 2 {
			s.Version = "Sentinel, master at " + net.JoinHostPort(known[0], known[1])
		}
		r.Servers = append(r.Servers, s)
		_ = c.Close()
	}
	if len(r.cfg.Addrs) < 3 {
		r.Problems = append(r.Problems, strconv.Itoa(len(r.cfg.Addrs))+" sentinels are named: name three, or none may be left that knows the master")
	}
}

// store looks at the store itself.
func (r *report) store(ctx context.Context, c goredis.UniversalClient) error {
	v, err := c.Get(ctx, identityKey(r.cfg.Prefix)).Result()
	if errors.Is(err, goredis.Nil) {
		return nil // Open creates it
	}
	if err != nil {
		return fmt.Errorf("read the store's identity: %w", err)
	}
	_, shards, err := parseIdentity(v)
	if err == nil && r.cfg.Shards != 0 && shards != r.cfg.Shards {
		err = fmt.Errorf("the store at prefix %s is of %d shards, not %d", r.cfg.Prefix, shards, r.cfg.Shards)
	}
	if err != nil {
		return err
	}
	r.InUse, err = inUse(ctx, c, &r.cfg, shards)
	return err
}

// inUse reports whether the owner of a shard has said that it is there.
func inUse(ctx context.Context, c goredis.UniversalClient, cfg *Config, shards int) (bool, error) {
	pipe := c.Pipeline()
	claims := make([]*goredis.StringCmd, shards)
	for i := range claims {
		claims[i] = pipe.Get(ctx, newShardKeys(cfg.Prefix, protocol.ShardID(i)).claim)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return false, fmt.Errorf("read claims: %w", err)
	}
	owners := make(map[string]*goredis.IntCmd)
	for i, get := range claims {
		claim, err := parseClaim(get.Val())
		if err != nil {
			return false, fmt.Errorf("claim of shard %d: %w", i, err)
		}
		if o := claim.owner; o != "" && owners[o] == nil {
			owners[o] = pipe.Exists(ctx, presenceKey(cfg.Prefix, o))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return false, fmt.Errorf("read who is there: %w", err)
	}
	for _, there := range owners {
		if there.Val() > 0 {
			return true, nil
		}
	}
	return false, nil
}
