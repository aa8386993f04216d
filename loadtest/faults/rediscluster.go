package main

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"ramen/internal/testserver/redistest"
	"ramen/loadtest/ledger/judge"
)

// shardsOfStore are those of a store by default; the keys of shard n have the hash tag n.
const shardsOfStore = 1024

// group is a master of a Redis Cluster and its replica, which take turns.
type group struct {
	busy sync.Mutex // held by the fault that is done to one of them
	two  [2]*redisServer
}

// redisCluster is a Redis Cluster of three groups.
type redisCluster struct {
	c      *redistest.Cluster
	groups [3]*group
}

// openRedisCluster is a cluster in which a message is accepted once the replica has it (durability=replicas): the death of any server
// loses nothing, nor does the promotion of a replica that lags, since nothing was accepted that it lacks.
func openRedisCluster(t *harness, _ config) *site {
	return newCluster(t, "redis-cluster", "an accepted message is at a master of a Redis Cluster and at its replica (durability=replicas)", "?durability=replicas&replicas=1", false)
}

// openRedisClusterReply is a cluster in which a message is accepted when the master has it: what a promoted replica lacks is measured.
func openRedisClusterReply(t *harness, _ config) *site {
	return newCluster(t, "redis-cluster-reply", "an accepted message was answered for by a master of a Redis Cluster (durability=reply)", "?durability=reply", true)
}

// startCluster starts a cluster.
func startCluster(t *harness) *redisCluster {
	x := &redisCluster{c: redistest.StartCluster(t, redistest.Options{Proxied: true, Config: redistest.Config{"appendonly": "yes", "maxmemory-policy": "noeviction"}})}
	for i := range x.groups {
		x.groups[i] = &group{two: [2]*redisServer{newRedisServer("master", x.c.Nodes[i]), newRedisServer("replica", x.c.Nodes[i+len(x.groups)])}}
		for _, r := range x.groups[i].two {
			r.serves = true
		}
	}
	return x
}

// newCluster is a store in a cluster that may lose messages with a master, or not.
func newCluster(t *harness, name, says, query string, loses bool) *site {
	x := startCluster(t)
	st := &site{name: name, says: says, shared: true, fences: true, args: []string{"--store", x.c.URL() + query}}
	st.faults = append(x.faults(judge.Span{Owner: true}, loses), serverFaults(true)...)
	st.schedules = []schedule{x.promotedIdle(loses)}
	st.short = st.schedules
	return st
}

// faults are those of the cluster's servers. Where service goes on, they are a cache, and nothing is lost with them; else all is lost
// that a master has when it is flushed, and, with loses, what it has not handed on when it is gone.
func (x *redisCluster) faults(excuses judge.Span, loses bool) []fault {
	gone, flushed := excuses, excuses
	gone.Loses, flushed.Loses = loses, !excuses.Serves
	moved := judge.Span{Serves: excuses.Serves}
	return []fault{
		{name: "master-paused", excuses: gone, do: x.pauseMaster},
		{name: "master-killed", excuses: gone, do: x.killMaster},
		{name: "lagging-replica-promoted", excuses: gone, do: x.promoteLagging},
		{name: "replica-killed", excuses: gone, do: x.killReplica},
		{name: "slots-moved", excuses: moved, do: x.moveSlots},
		{name: "master-cut", excuses: excuses, do: x.onMaster((*redisServer).cut)},
		{name: "master-slow", excuses: gone, do: x.onMaster((*redisServer).slow)},
		{name: "master-full", excuses: excuses, do: x.onMaster((*redisServer).fill)},
		{name: "master-flushed", excuses: flushed, do: x.onMaster((*redisServer).flush)},
	}
}

// promotedIdle is the schedule of promoteForIdle.
func (x *redisCluster) promotedIdle(loses bool) schedule {
	return schedule{name: "promoted-replica-idle-user-moved-shard", play: func(s *stage) { x.promoteForIdle(s, loses) }}
}

// take draws a group that no other fault is done to, with its servers in their present parts.
func (x *redisCluster) take(s *stage) (g *group, master, replica *redisServer) {
	first := s.draw(len(x.groups))
	for i := range len(x.groups) {
		g = x.groups[(first+i)%len(x.groups)]
		if g.busy.TryLock() {
			master, replica = g.roles(s)
			return g, master, replica
		}
	}
	g.busy.Lock()
	master, replica = g.roles(s)
	return g, master, replica
}

// roles waits until one is the other's replica.
func (g *group) roles(s *stage) (master, replica *redisServer) {
	for s.ctx.Err() == nil {
		for i, m := range g.two {
			if r := g.two[1-i]; m.role(s) == "master" && r.role(s) == "slave" {
				return m, r
			}
		}
		sleep(s.ctx, 20*time.Millisecond)
	}
	s.must(s.ctx.Err())
	return g.two[0], g.two[1]
}

// role is master or slave; empty where the server does not answer.
func (x *redisServer) role(s *stage) string {
	c := redis.NewClient(x.r.ClientOptions())
	defer c.Close()
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	answer, err := c.Do(ctx, "ROLE").Slice()
	if err != nil || len(answer) == 0 {
		return ""
	}
	role, _ := answer[0].(string)
	return role
}

// awaitMaster waits until the server is a master.
func (x *redisServer) awaitMaster(s *stage) {
	x.try(s, func(ctx context.Context, c *redis.Client) error {
		answer, err := c.Do(ctx, "ROLE").Slice()
		if err == nil && answer[0] != "master" {
			err = errors.New("it is not promoted")
		}
		return err
	})
}

func (x *redisCluster) pauseMaster(s *stage, hold time.Duration) {
	g, master, _ := x.take(s)
	defer g.busy.Unlock()
	master.pauseFor(s, hold)
	x.c.AwaitWhole(s.t)
}

func (x *redisCluster) killMaster(s *stage, _ time.Duration) {
	g, master, replica := x.take(s)
	defer g.busy.Unlock()
	master.restartAfter(s, 0, func() { replica.awaitMaster(s) })
	x.c.AwaitWhole(s.t)
}

func (x *redisCluster) killReplica(s *stage, hold time.Duration) {
	g, _, replica := x.take(s)
	defer g.busy.Unlock()
	replica.restart(s, hold)
	x.c.AwaitWhole(s.t)
}

// promoteLagging has a replica be promoted that has nothing of what its master was told last.
func (x *redisCluster) promoteLagging(s *stage, hold time.Duration) {
	g, master, replica := x.take(s)
	defer g.busy.Unlock()
	replica.r.StopReplication(s.t)
	sleep(s.ctx, min(hold, 2*time.Second))
	master.restartAfter(s, 0, func() { replica.awaitMaster(s) })
	for _, r := range []*redisServer{replica, master} {
		r.r.ResumeReplication(s.t)
	}
	x.c.AwaitWhole(s.t)
}

// moveSlots moves slots of shards to other masters, one after the other, from and to groups that no other fault is done to: a move
// whose master is gone half-way does not end.
func (x *redisCluster) moveSlots(s *stage, hold time.Duration) {
	for end := time.Now().Add(hold); s.ctx.Err() == nil && time.Now().Before(end); {
		if !x.moveSlot(s, "{"+strconv.Itoa(s.draw(shardsOfStore))+"}", x.groups[s.draw(len(x.groups))]) {
			sleep(s.ctx, 20*time.Millisecond)
		}
	}
}

// moveSlot moves the slot of a key to a group, if it is in another and nothing is done to either.
func (x *redisCluster) moveSlot(s *stage, key string, to *group) bool {
	if !to.busy.TryLock() {
		return false
	}
	defer to.busy.Unlock()
	for _, from := range x.groups {
		if from == to || !from.busy.TryLock() {
			continue
		}
		served, _ := x.c.Serving(s.t, key)
		here := from.two[0].r == served || from.two[1].r == served
		if here {
			target, _ := to.roles(s)
			x.c.MoveSlot(s.t, key, target.r)
		}
		from.busy.Unlock()
		if here {
			return true
		}
	}
	return false
}

// onMaster is a fault of a server, done to a master.
func (x *redisCluster) onMaster(do func(*redisServer, *stage, time.Duration)) func(*stage, time.Duration) {
	return func(s *stage, hold time.Duration) {
		g, master, _ := x.take(s)
		defer g.busy.Unlock()
		do(master, s, hold)
		x.c.AwaitWhole(s.t)
	}
}

// promoteForIdle has a lagging replica be promoted while users are idle, so that no owner has their mailboxes in memory, and then
// another owner take their shards.
func (x *redisCluster) promoteForIdle(s *stage, loses bool) {
	s.gather()
	s.clients.Sleep()
	sleep(s.ctx, 2*s.cfg.MailboxIdle)
	s.inflict(fault{name: "lagging replica promoted, and taken over", excuses: judge.Span{Owner: true, Silent: true, Loses: loses}, do: func(s *stage, hold time.Duration) {
		x.promoteLagging(s, hold)
		s.takeOver(hold)
	}}, s.cfg.Hold)
}
