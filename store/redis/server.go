package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// server is what one server says of itself.
type server struct {
	addr     string
	product  string // Redis or Valkey
	version  string
	role     string // master or slave
	mode     string // standalone, cluster or sentinel
	replicas int    // that follow it
	aof      bool   // it writes an append-only file
	policy   string // of eviction
	cluster  bool

	configured bool   // the rest is known: CONFIG GET may be forbidden
	fsync      string // appendfsync
	noFsync    bool   // no-appendfsync-on-rewrite
	whole      bool   // cluster-require-full-coverage
}

// ask has a server say what it is, by a client or a connection.
func ask(ctx context.Context, addr string, c interface{ Pipeline() goredis.Pipeliner }) (*server, error) {
	pipe := c.Pipeline()
	told := pipe.Info(ctx, "server", "replication", "persistence", "memory", "cluster")
	log := pipe.ConfigGet(ctx, "*append*")
	coverage := pipe.ConfigGet(ctx, "cluster-require-full-coverage")
	_, _ = pipe.Exec(ctx) // CONFIG GET may be forbidden
	text, err := told.Result()
	if err != nil {
		return nil, err
	}
	in := parseInfo(text)
	s := &server{addr: addr, product: "Redis", version: in["redis_version"], role: in["role"], mode: in["redis_mode"], policy: in["maxmemory_policy"]}
	if v := in["valkey_version"]; v != "" {
		s.product, s.version, s.mode = "Valkey", v, in["server_mode"]
	}
	s.replicas = int(in.int("connected_slaves"))
	s.aof = in["aof_enabled"] == "1"
	s.cluster = in["cluster_enabled"] == "1"
	if set, err := log.Result(); err == nil && set["appendfsync"] != "" {
		s.configured, s.fsync, s.noFsync = true, set["appendfsync"], set["no-appendfsync-on-rewrite"] == "yes"
	}
	if set, err := coverage.Result(); err == nil {
		s.whole = set["cluster-require-full-coverage"] == "yes"
	}
	return s, nil
}

// String is the product and version, as people write them.
func (s *server) String() string { return s.product + " " + s.version }

// waitsForAOF reports whether the server has WAITAOF: Redis from 7.2 on, and Valkey.
func (s *server) waitsForAOF() bool { return s.product == "Valkey" || atLeast(s.version, 7, 2) }

func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, _ := strconv.Atoi(parts[0])
	b, _ := strconv.Atoi(parts[1])
	return a > major || a == major && b >= minor
}

// syncsBeforeReply reports whether a reply means that the write is on the disk: the fsync comes before any reply of that turn of the
// server's loop.
func (s *server) syncsBeforeReply() bool { return s.aof && s.configured && s.fsync == "always" }

// finding is something about a server that is not as it should be.
type finding struct {
	text  string
	fatal bool // the store cannot be used, or the configured durability does not hold
}

func (s *server) finding(fatal bool, format string, args ...any) finding {
	return finding{fmt.Sprintf("%s (%s): ", s.addr, s) + fmt.Sprintf(format, args...), fatal}
}

// findings are what is wrong with a server for this configuration, each with what would be right.
func (c *Config) findings(s *server) (all []finding) {
	say := func(fatal bool, format string, args ...any) { all = append(all, s.finding(fatal, format, args...)) }
	if !(s.product == "Valkey" || atLeast(s.version, 7, 0)) {
		say(true, "its version is older than 7.0: use Redis 7.0 or newer, or Valkey")
	}
	if s.cluster && c.Mode != Cluster {
		say(true, "it is a node of a cluster: write redis+cluster:// for the scheme")
	}
	if s.cluster && s.whole {
		say(false, "cluster-require-full-coverage is yes, so that all users wait where one master is gone: set no")
	}
	if s.role == "slave" {
		say(true, "it is a replica, which takes no writes: name its master")
	}
	if s.policy != "" && s.policy != "noeviction" && !c.Cache { // a cache may lose anything
		say(false, "maxmemory-policy is %s, so that mailboxes are evicted where memory is short, since all of them expire: set noeviction", s.policy)
	}
	switch c.Durability {
	case Replicas:
		if s.replicas < c.Replicas {
			say(false, "%d replicas follow it, and durability=replicas&replicas=%d waits for more: until they do, appends are refused at their deadline", s.replicas, c.Replicas)
		}
	case Fsync:
		c.fsyncFindings(s, say)
	}
	return all
}

// fsyncFindings are those about writing to the disk.
func (c *Config) fsyncFindings(s *server, say func(fatal bool, format string, args ...any)) {
	switch {
	case !s.aof:
		say(true, "appendonly is no, so that durability=fsync cannot hold: set appendonly yes and appendfsync always")
	case !s.configured && !s.waitsForAOF():
		say(true, "it does not tell its appendfsync, and has no WAITAOF, so that durability=fsync cannot be checked: allow the user +config|get")
	case !s.configured:
		say(false, "it does not tell its appendfsync: with anything but always an append may take longer than its deadline; allow the user +config|get")
	case s.fsync == "always" && s.noFsync:
		say(true, "no-appendfsync-on-rewrite is yes, so that nothing is synced while the log is rewritten: set no")
	case s.fsync == "always":
	case s.fsync == "no":
		say(true, "appendfsync is no, so that the system decides when a write reaches the disk: set appendfsync always")
	case !s.waitsForAOF():
		say(true, "appendfsync is %s, and this version has no WAITAOF, so that a power cut loses what was accepted in the last 2 s: set appendfsync always", s.fsync)
	default:
		say(false, "appendfsync is %s: each append waits for the next fsync, up to a second, which is more than its deadline: set appendfsync always", s.fsync)
	}
}

// promise says what an accepted message survives, where nothing fatal was found. synced: all masters have a write on their disks before
// they reply to it.
func (c *Config) promise(synced bool) string {
	switch {
	case c.Durability == Replicas && synced:
		return fmt.Sprintf("An accepted message is on the disk of the master, which has appendfsync always, and in the memory of at least %d replicas; it survives a loss of power, and is lost where the disk fails with all of these, or where a replica without it is promoted.", c.Replicas)
	case c.Durability == Replicas:
		return fmt.Sprintf("An accepted message is in the memory of the master and of at least %d replicas; it is lost where all of these fail, or where a replica without it is promoted.", c.Replicas)
	case c.Durability == Fsync:
		return "An accepted message is on the disk of the server; it survives a loss of power, and is lost where a replica without it is promoted."
	case synced:
		return "An accepted message is on the disk of the server, which has appendfsync always: set durability=fsync to have that required; it survives a loss of power, and is lost where a replica without it is promoted."
	}
	return "An accepted message is in the memory of the server; it is lost where that fails before its disk or a replica has it."
}
