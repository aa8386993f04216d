package main

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
	"ramen/internal/testserver/redistest"
	"ramen/loadtest/ledger/judge"
)

// target is a server of a store that faults are done to, two at once, too.
type target struct {
	*testserver.Server
	name string
	mu   sync.Mutex // held while the server is stopped and started
}

func (x *target) pause(s *stage) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.Running() {
		x.Pause(s.t)
	}
}

// resume continues the server, if it was not killed meanwhile.
func (x *target) resume(s *stage) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.Running() {
		x.Continue(s.t)
	}
}

// killLocked kills the server, if it runs.
func (x *target) killLocked(s *stage) {
	if x.Running() {
		x.Kill(s.t)
	}
}

// restartAfter kills the server, and does something before it starts it again.
func (x *target) restartAfter(s *stage, down time.Duration, do func()) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.killLocked(s)
	do()
	sleep(s.ctx, down)
	x.Launch(s.t)
	x.AwaitReady(s.t)
}

// redisServer is one Redis server as a target.
type redisServer struct {
	target
	r      *redistest.Server
	serves bool // messages are accepted while it is gone: it is a cache, or has some of the users alone
}

func newRedisServer(name string, r *redistest.Server) *redisServer {
	return &redisServer{target: target{Server: r.Server, name: name}, r: r}
}

// away has the server be away for hold, while nothing can be accepted, but where it is a cache.
func (x *redisServer) away(s *stage, hold time.Duration) {
	if x.serves {
		sleep(s.ctx, hold)
		return
	}
	s.refusing(func() { sleep(s.ctx, hold) })
}

// pauseFor stops the server by SIGSTOP and continues it.
func (x *redisServer) pauseFor(s *stage, hold time.Duration) {
	x.pause(s)
	x.away(s, hold)
	x.resume(s)
}

// restart kills the server, leaves it down for a part of hold, and starts it again on what it has on disk.
func (x *redisServer) restart(s *stage, hold time.Duration) {
	x.restartAfter(s, 0, func() { x.away(s, hold/4) })
}

// try asks the server something until it is answered without an error: it may be down or paused.
func (x *redisServer) try(s *stage, ask func(ctx context.Context, c *redis.Client) error) {
	c := redis.NewClient(x.r.ClientOptions())
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.ctx, testserver.Patience)
	defer cancel()
	s.must(testserver.Await(ctx, func() error {
		once, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		return ask(once, c)
	}))
}

// flush has the server lose all that it has.
func (x *redisServer) flush(s *stage, _ time.Duration) {
	x.try(s, func(ctx context.Context, c *redis.Client) error { return c.FlushAll(ctx).Err() })
}

// fill has the server be out of memory, so that it refuses what would write.
func (x *redisServer) fill(s *stage, hold time.Duration) {
	limit := func(bytes string) {
		x.try(s, func(ctx context.Context, c *redis.Client) error { return c.ConfigSet(ctx, "maxmemory", bytes).Err() })
	}
	limit("1")
	x.away(s, hold)
	limit("0")
}

// disconnect ends the connections of all clients, again and again.
func (x *redisServer) disconnect(s *stage, hold time.Duration) {
	for end := time.Now().Add(hold); s.ctx.Err() == nil && time.Now().Before(end); sleep(s.ctx, 200*time.Millisecond) {
		x.r.Proxy.Disconnect(s.t)
	}
}

// cut has no client reach the server.
func (x *redisServer) cut(s *stage, hold time.Duration) {
	x.r.Proxy.Cut(s.t)
	x.away(s, hold)
	x.r.Proxy.Heal(s.t)
}

// slow has each answer come half a second later.
func (x *redisServer) slow(s *stage, hold time.Duration) {
	x.r.Proxy.Delay(s.t, faultproxy.Answers, 500*time.Millisecond)
	sleep(s.ctx, hold)
	x.r.Proxy.Heal(s.t)
}

// silence has the server get all that it is told, and its answers get lost.
func (x *redisServer) silence(s *stage, hold time.Duration) {
	x.r.Proxy.Swallow(s.t, faultproxy.Answers)
	x.away(s, hold)
	x.r.Proxy.Heal(s.t)
}

// faults are those of one server. Where service goes on, it is a cache, and nothing is lost with it.
func (x *redisServer) faults(excuses judge.Span) []fault {
	flushed := excuses
	flushed.Loses = !excuses.Serves
	return []fault{
		{name: x.name + "-paused", excuses: excuses, do: x.pauseFor},
		{name: x.name + "-killed", excuses: excuses, do: x.restart},
		{name: x.name + "-disconnected", excuses: excuses, do: x.disconnect},
		{name: x.name + "-cut", excuses: excuses, do: x.cut},
		{name: x.name + "-slow", excuses: excuses, do: x.slow},
		{name: x.name + "-silent", excuses: excuses, do: x.silence},
		{name: x.name + "-full", excuses: excuses, do: x.fill},
		{name: x.name + "-flushed", excuses: flushed, do: x.flush},
	}
}
