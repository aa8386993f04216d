package h2

import (
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/frontend/grpcend"
)

// run ends messages that come too slowly, and calls that send none. Their age is counted in sweeps: a process that was stopped for a while has not seen what
// came meanwhile, and blames nobody for it.
func (g *Guard) run() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-g.done:
			return
		case <-tick.C:
			g.sweep()
		}
	}
}

func (g *Guard) sweep() {
	var slow []*Conn
	g.mu.Lock()
	for c := range g.partial {
		switch some, late := c.grow(); {
		case !some:
			delete(g.partial, c)
		case late:
			slow = append(slow, c)
		}
	}
	g.mu.Unlock()
	for _, c := range slow {
		c.end(slowMessage)
	}
	for _, call := range g.waits.sweep() {
		g.metrics.waits[late].Inc()
		grpcend.End(call, status.New(codes.InvalidArgument, "no message arrived in time: send it with the headers"))
	}
}

// grow lets c's unfinished messages grow older. some: there are some; late: one comes too slowly.
func (c *Conn) grow() (some, late bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.partial) == 0 {
		c.swept = false
		return false, false
	}
	for _, m := range c.partial {
		m.age++
		late = late || m.slow()
	}
	return true, late
}

// unfinished looks at what unfinished messages hold, once there is more of c. Over the bound the connection with the oldest of all ends: a
// good client's message takes a moment, those of an attacker stay.
func (g *Guard) unfinished(c *Conn) reason {
	if g.watch(c) && g.bytes.Load() > int64(g.port.Unfinished) {
		return g.relieve(c)
	}
	return fine
}

// watch has c's messages swept; false where it is closed.
func (g *Guard) watch(c *Conn) bool {
	c.mu.Lock()
	gone, swept := c.gone, c.swept
	c.swept = true
	c.mu.Unlock()
	if gone {
		return false
	}
	if !swept {
		g.mu.Lock()
		g.partial[c] = struct{}{}
		g.mu.Unlock()
	}
	return true
}

// relieve ends the connection that has the oldest unfinished message; where that is c itself, it answers so.
func (g *Guard) relieve(c *Conn) reason {
	var oldest *Conn
	age := -1
	g.mu.Lock()
	for at := range g.partial {
		if a := at.oldest(); a > age {
			oldest, age = at, a
		}
	}
	if oldest != nil {
		delete(g.partial, oldest)
	}
	g.mu.Unlock()
	switch oldest {
	case nil:
		return fine
	case c:
		return manyBytes
	}
	oldest.end(manyBytes)
	oldest.dropAll()
	return fine
}

// oldest is the age of c's oldest unfinished message; -1 where it has none.
func (c *Conn) oldest() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	age := -1
	for _, m := range c.partial {
		age = max(age, m.age)
	}
	return age
}

// coming reports whether c has an unfinished message.
func (c *Conn) coming() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.partial) > 0
}
