package simulation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

// keepalive is how long a connection stands over which nothing passes.
const keepalive = 1250 * time.Millisecond

// links are the connections of one frontend.
type links struct {
	w *world
	f *frontend

	mu    sync.Mutex
	all   map[topology.MemberID]*conn
	order []*conn // all, in the order in which they were made
}

// Dial implements route.Links.
func (l *links) Dial(m *topology.Member) (link.Gateway, bool) {
	g := l.w.gateway(m.ID)
	if g == nil {
		return nil, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.all[m.ID]
	if c == nil {
		c = &conn{w: l.w, f: l.f, g: g, down: make(chan struct{}), order: make(map[string]*int64), broken: l.w.bus.isDead(g.node)}
		l.all[m.ID] = c
		l.order = append(l.order, c)
	}
	return c, true
}

// conn is the connection of a frontend to a gateway. It breaks where one of them is killed, or where nothing passes for longer than its
// keepalive, and is made anew a little later.
type conn struct {
	w *world
	f *frontend
	g *gatewayNode

	mu sync.Mutex
	// guarded by mu
	broken bool
	down   chan struct{} // closed when it breaks
	number uint64        // how often it was made
	ends   []*end
	order  map[string]*int64 // of each socket, when its last open arrives
}

var _ link.Gateway = (*conn)(nil)

// disturbed is told that something was done to the frontend, the gateway, or the path between them: the connection breaks after its keepalive
// where nothing passes until then; at once where the gateway's process has gone and its machine says so.
func (c *conn) disturbed() {
	wait := keepalive
	if c.w.bus.isDead(c.g.node) && c.w.bus.hash("refused", uint64(c.g.node.id), uint64(c.f.node.id))%2 == 0 {
		wait = time.Millisecond
	}
	c.w.bus.at(wait, func() {
		if !c.passes() {
			c.sever()
		}
	})
}

func (c *conn) passes() bool {
	b := c.w.bus
	return !b.isDead(c.g.node) && !b.isDead(c.f.node) && b.blocked(c.f.node, c.g.node) <= b.now()
}

// retry makes the connection anew as soon as something passes.
func (c *conn) retry() {
	c.w.bus.at(250*time.Millisecond, func() {
		if c.w.isOver() || c.w.bus.isDead(c.g.node) || c.w.bus.isDead(c.f.node) {
			return
		}
		if !c.passes() {
			c.retry()
			return
		}
		c.mu.Lock()
		c.broken, c.down = false, make(chan struct{})
		c.number++
		c.mu.Unlock()
		c.w.bus.note(c.f.node, "connected", 0, 0, c.g.node.name)
	})
}

// sever breaks the connection. Who is stopped sees it when it goes on.
func (c *conn) sever() {
	c.mu.Lock()
	if c.broken {
		c.mu.Unlock()
		return
	}
	c.broken = true
	down, ends := c.down, c.ends
	c.ends = nil
	c.mu.Unlock()
	c.w.bus.note(c.f.node, "broken", 0, 0, c.g.node.name)
	c.w.bus.at(c.w.bus.pausedFor(c.f.node), func() {
		close(down)
		for _, e := range ends {
			e.lost()
		}
	})
	c.w.bus.at(c.w.bus.pausedFor(c.g.node), func() {
		for _, e := range ends {
			e.closeInner(protocol.ReasonUnavailable)
		}
	})
	c.retry()
}

// up is the channel that is closed when the connection breaks, and its number; nil: it is broken.
func (c *conn) up() (<-chan struct{}, uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return nil, 0
	}
	return c.down, c.number
}

// over makes a call over the connection; an error tells that there is no answer.
func over[T any](ctx context.Context, c *conn, m message, do func(ctx context.Context) T) (T, error) {
	var none T
	down, _ := c.up()
	if down == nil {
		return none, link.ErrNotSent
	}
	run, stop := context.WithCancel(ctx)
	defer stop()
	answer := make(chan T, 1)
	m.from, m.to = c.f.node, c.g.node
	c.w.bus.send(m, func() {
		v := do(run)
		back := m
		back.from, back.to, back.what, back.quiet = m.to, m.from, m.what+".", true
		c.w.bus.send(back, func() { answer <- v })
	})
	select {
	case v := <-answer:
		return v, nil
	case <-down:
		return none, link.ErrLost
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

func at(what string, r link.Route, text string) message {
	return message{what: what, a: uint64(r.Shard), b: uint64(r.Epoch), text: text}
}

// Publish implements link.Gateway.
func (c *conn) Publish(ctx context.Context, batch []link.Publish) []link.Result {
	p := &batch[0]
	results, err := over(ctx, c, at("publish", p.Route, string(p.User)+" "+string(p.Message.ID)), func(ctx context.Context) []link.Result {
		all := c.g.g.Publish(ctx, batch)
		for i := range all {
			c.w.published(c.g, &batch[i], &all[i])
		}
		return all
	})
	if err != nil {
		results = make([]link.Result, len(batch))
		for i := range results {
			results[i] = link.Result{Status: link.StatusRejected, Err: err}
		}
	}
	return results
}

type opening struct {
	opened link.Opened
	err    error
}

// Open implements link.Gateway.
func (c *conn) Open(ctx context.Context, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	down, number := c.up()
	if down == nil {
		return nil, link.Opened{}, link.ErrNotSent
	}
	e := &end{conn: c, receiver: r, generation: o.Generation, number: number, at: o.Route, user: o.User, device: o.Device}
	m := at("open", o.Route, fmt.Sprintf("%s/%s#%d", o.User, o.Device, o.Window)) // each socket has a window of its own
	m.from, m.to = c.f.node, c.g.node
	c.mu.Lock()
	if m.after = c.order[m.text]; m.after == nil {
		m.after = new(int64)
		c.order[m.text] = m.after
	}
	c.mu.Unlock()
	answer := make(chan opening, 1)
	gone := false // guarded by e.mu: nobody waits any more
	c.w.bus.send(m, func() {
		done := c.w.opening(c.g, &o, e)
		inner, opened, err := c.g.g.Open(ctx, o, e)
		if done(err); err == link.ErrSuperseded {
			c.w.superseded(e)
		}
		c.mu.Lock()
		broken := c.broken || c.number != number
		if err == nil && !broken {
			c.ends = append(c.ends, e)
		}
		c.mu.Unlock()
		if broken && err == nil {
			inner.Close(protocol.ReasonUnavailable)
			return
		}
		e.joined(inner)
		back := m
		back.from, back.to, back.what, back.quiet, back.after = m.to, m.from, "open.", true, &e.toFrontend
		c.w.bus.send(back, func() {
			e.mu.Lock()
			late := gone
			e.mu.Unlock()
			if late && err == nil {
				e.Close(protocol.ReasonUnavailable)
				return
			}
			answer <- opening{opened, err}
		})
		e.flush()
	})
	var err error
	select {
	case a := <-answer:
		if a.err != nil {
			return nil, link.Opened{}, a.err
		}
		return e, a.opened, nil
	case <-down:
		err = link.ErrLost
	case <-ctx.Done():
		err = ctx.Err()
	}
	e.mu.Lock()
	gone = true
	e.closed = true
	e.mu.Unlock()
	return nil, link.Opened{}, err
}

// Ack implements link.Gateway.
func (c *conn) Ack(ctx context.Context, a link.Ack) error {
	err, lost := over(ctx, c, at("ack", a.Route, string(a.User)+"/"+string(a.Device)), func(ctx context.Context) error { return c.g.g.Ack(ctx, a) })
	if lost != nil {
		return lost
	}
	return err
}

// Recall implements link.Gateway.
func (c *conn) Recall(ctx context.Context, to link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
	type answer struct {
		found bool
		err   error
	}
	a, lost := over(ctx, c, at("recall", to, string(user)+" "+string(id)), func(ctx context.Context) answer {
		found, err := c.g.g.Recall(ctx, to, user, id)
		return answer{found, err}
	})
	if lost != nil {
		return false, lost
	}
	return a.found, a.err
}

// Messages implements link.Gateway.
func (c *conn) Messages(ctx context.Context, to link.Route, user protocol.UserID, p link.Page) (link.MessagePage, error) {
	return c.g.g.Messages(ctx, to, user, p)
}

// Devices implements link.Gateway.
func (c *conn) Devices(ctx context.Context, to link.Route, user protocol.UserID) ([]link.Device, error) {
	return c.g.g.Devices(ctx, to, user)
}

// Disconnect implements link.Gateway.
func (c *conn) Disconnect(ctx context.Context, to link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
	return c.g.g.Disconnect(ctx, to, user, device, detail)
}
