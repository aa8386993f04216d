package main

import (
	"time"

	"ramen/internal/testdisk"
	"ramen/internal/testserver/redistest"
	"ramen/loadtest/ledger/judge"
)

// onDisk are settings of a Redis whose reply says that what it was told is on its disk.
func onDisk() redistest.Config {
	return redistest.Config{"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
}

// openRedis is one server, with durability=fsync: only FLUSHALL makes it lose what it has answered for, and of that what is not in the
// gateway's memory.
func openRedis(t *harness, _ config) *site {
	conf := onDisk()
	disk := tryDisk(t)
	if disk != nil {
		conf["dir"] = disk.Dir
	}
	r := redistest.Single(t, redistest.Options{Config: conf, Proxied: true})
	x := newRedisServer("redis", r)
	st := &site{name: "redis", says: "an accepted message is on the disk of one Redis server (durability=fsync, appendfsync always)", shared: true, fences: true,
		args: []string{"--store", r.URL() + "?durability=fsync"}}
	dir := r.Dir
	if disk != nil {
		dir = disk.Dir
	}
	owner := judge.Span{Owner: true}
	st.faults = append(x.faults(owner), serverFaults(true)...)
	if disk != nil {
		st.faults = append(st.faults, fault{name: "redis-without-power", excuses: owner, do: func(s *stage, hold time.Duration) { x.cutPower(s, disk, hold) }})
	}
	late := schedule{name: "late-script", play: func(s *stage) { s.lateScript(x) }}
	st.schedules = []schedule{
		late,
		{name: "stopped-owner-killed-continued", play: func(s *stage) { s.stopKillContinue(&x.target, false) }},
		{name: "flushed-before-take-over", play: func(s *stage) { s.flushBeforeTakeOver(x, true) }},
		{name: "flushed-in-memory", play: func(s *stage) { s.flushInMemory(x) }, idle: time.Hour},
		{name: "rotten-log", play: (*stage).gather, between: func(s *stage) { s.rotRedis(x, dir) }},
	}
	st.short = []schedule{late}
	return st
}

// openRedisEverysec is one server as many have it: what it has lost when its power comes back is measured.
func openRedisEverysec(t *harness, _ config) *site {
	disk := tryDisk(t)
	conf := onDisk()
	conf["appendfsync"] = "everysec"
	if disk != nil {
		conf["dir"] = disk.Dir
	}
	r := redistest.Single(t, redistest.Options{Config: conf, Proxied: true})
	x := newRedisServer("redis", r)
	st := &site{name: "redis-everysec", says: "an accepted message was answered for by one Redis server (durability=reply, appendfsync everysec)", shared: true, fences: true,
		args: []string{"--store", r.URL() + "?durability=reply"}}
	st.faults = []fault{{name: "redis-killed", excuses: judge.Span{Owner: true}, do: x.restart}}
	if disk != nil {
		st.faults = append(st.faults, fault{name: "redis-without-power", excuses: judge.Span{Owner: true, Loses: true}, do: func(s *stage, hold time.Duration) { x.cutPower(s, disk, hold) }})
		st.schedules = []schedule{{name: "without-power-under-a-take-over", play: func(s *stage) {
			s.inflict(fault{name: "without power, and taken over", excuses: judge.Span{Owner: true, Silent: true, Loses: true}, do: func(s *stage, hold time.Duration) {
				x.cutPower(s, disk, hold)
				s.takeOver(hold)
			}}, s.cfg.Hold)
		}}}
	}
	return st
}

// tryDisk is a disk that can lose its power; nil where there is none.
func tryDisk(t *harness) (d *testdisk.Disk) {
	if err := catch(func() { d = testdisk.New(t) }); err != nil {
		t.Logf("no disk that loses its power: %v", err)
		return nil
	}
	return d
}

// cutPower has the server lose its power: it and its disk are gone at once, with what was not synced.
func (x *redisServer) cutPower(s *stage, disk *testdisk.Disk, hold time.Duration) {
	x.mu.Lock()
	if x.Running() {
		x.Pause(s.t) // nothing is answered between the two
	}
	disk.Cut(s.t)
	x.mu.Unlock()
	x.restartAfter(s, hold/4, func() { disk.Restore(s.t) })
}

// lateScript pauses Redis for shorter than a lease, again and again: scripts that time out run there later, behind those that
// followed. STORES: a late script.
func (s *stage) lateScript(x *redisServer) {
	for range 3 {
		s.inflict(fault{name: x.name + "-paused-briefly", excuses: judge.Span{Owner: true}, do: x.pauseFor}, 1200*time.Millisecond)
		s.awaitAccepted(20)
	}
	// And with another owner by then.
	s.inflict(fault{name: x.name + "-paused-under-a-take-over", excuses: judge.Span{Owner: true, Silent: true}, do: func(s *stage, hold time.Duration) {
		x.pause(s)
		sleep(s.ctx, hold/2)
		s.takeOver(hold)
		sleep(s.ctx, hold/2)
		x.resume(s)
	}}, s.cfg.Hold)
}

// stopKillContinue stops the server by SIGSTOP while messages come, kills the owner, and continues the server for another one.
func (s *stage) stopKillContinue(x *target, serves bool) {
	s.killWhileAway(x.name+"-stopped, owner killed, "+x.name+"-continued", serves, func() { x.pause(s) }, func() { x.resume(s) })
}

// cutKillHeal is stopKillContinue of a server that is cut off: what it is told meanwhile does not come late either.
func (s *stage) cutKillHeal(x *redisServer, serves bool) {
	s.killWhileAway(x.name+"-cut, owner killed, "+x.name+"-healed", serves, func() { x.r.Proxy.Cut(s.t) }, func() { x.r.Proxy.Heal(s.t) })
}

// killWhileAway publishes to users without streams while a server is away, kills the owner, brings the server back, and has another owner
// take over, which nobody asks about these users until all else is over. What was accepted it delivers: where the server is a cache, and
// others serve, from behind it.
func (s *stage) killWhileAway(name string, serves bool, leave, back func()) {
	if serves { // what is in memory from before there was a cache is in no cache: it has to leave, and to be loaded again
		s.clients.Sleep()
		sleep(s.ctx, 2*s.cfg.MailboxIdle)
	}
	s.clients.Depart()
	s.awaitAccepted(300)
	sleep(s.ctx, s.cfg.Calm) // their acks are saved
	s.inflict(fault{name: name, excuses: judge.Span{Owner: true, Silent: true}, do: func(s *stage, hold time.Duration) {
		leave()
		if serves {
			s.awaitAccepted(300)
		} else {
			sleep(s.ctx, min(hold, 2*time.Second))
		}
		s.clients.Sleep()
		if serves {
			s.awaitAccepted(50) // what was under way for them is answered
		}
		f := s.fleet
		f.acting.Lock()
		defer f.acting.Unlock()
		f.kill(f.serving)
		back()
		f.serving = f.other()
		s.must(f.launch(f.serving))
	}}, s.cfg.Hold)
}

// flushBeforeTakeOver has Redis lose everything between an append and a take-over.
func (s *stage) flushBeforeTakeOver(x *redisServer, loses bool) {
	s.gather()
	s.clients.Sleep()
	sleep(s.ctx, 2*s.cfg.MailboxIdle)
	s.inflict(fault{name: "flushed, and taken over", excuses: judge.Span{Owner: true, Silent: true, Loses: loses}, do: func(s *stage, hold time.Duration) {
		x.flush(s, hold)
		s.takeOver(hold)
	}}, s.cfg.Hold)
}

// flushInMemory has Redis lose everything while all mailboxes are in the gateway's memory, which writes them again: nothing is lost.
func (s *stage) flushInMemory(x *redisServer) {
	for range 3 {
		s.inflict(fault{name: "flushed", excuses: judge.Span{}, do: x.flush}, 0)
		s.awaitAccepted(100)
		sleep(s.ctx, s.cfg.Calm)
	}
}
