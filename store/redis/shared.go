package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/store"
)

var _ store.Shared = (*Store)(nil)

// Fences implements store.Shared.
func (s *Store) Fences() bool { return true }

// Renew implements store.Shared.
func (s *Store) Renew(ctx context.Context, owner string, ttl time.Duration) error {
	if err := s.enter(); err != nil {
		return wrap("renew", err)
	}
	defer s.calls.Done()
	ctx, cancel := bounded(ctx)
	defer cancel()
	key := presenceKey(s.cfg.Prefix, owner)
	if ttl <= 0 {
		return wrap("renew", s.any().Do(ctx, "del", key).Err())
	}
	return wrap("renew", s.any().Do(ctx, "set", key, 1, "px", max(1, ttl.Milliseconds())).Err())
}

// bounded is ctx with a deadline where it has none.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, noDeadline)
}

// enter counts a call that asks the servers by itself; s.calls.Done follows where it answers nil.
func (s *Store) enter() error {
	s.closeMu.RLock()
	defer s.closeMu.RUnlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// any is the server, or the cluster, for commands of one key.
func (s *Store) any() goredis.UniversalClient {
	if s.cluster != nil {
		return s.cluster
	}
	return s.single.client
}

// info is what INFO answers, by name.
type info map[string]string

func parseInfo(text string) info {
	all := make(info)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			all[name] = value
		}
	}
	return all
}

// history names the data of a server: it changes where a replica is promoted, and where a server starts, since what it has then is what
// was on its disk, or nothing.
func (i info) history() string {
	if i["master_replid"] == "" || i["run_id"] == "" {
		return ""
	}
	return i["master_replid"][:min(16, len(i["master_replid"]))] + "/" + i["run_id"][:min(16, len(i["run_id"]))]
}

// int is a number; 0 where there is none.
func (i info) int(name string) int64 {
	n, _ := strconv.ParseInt(i[name], 10, 64)
	return n
}
