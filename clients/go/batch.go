package ramen

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// unit is what one caller sends at once: it goes into one request whole, so that its order is kept.
type unit struct {
	// immutable once queued
	ctx      context.Context // the caller's
	messages []protocol.Publish
	count    int // results that it gets
	size     int // bytes, roughly
	json     []byte
	pb       []*ramenpb.Publish

	answer chan answer // of one
}

type answer struct {
	results []protocol.PublishResult
	err     error
}

// fitting is how many of todo fit one unit; at least one.
func (p *Publisher) fitting(todo []pending) int {
	count, size := 0, 0
	for i := range todo {
		count += todo[i].p.Count()
		size += sizeOf(&todo[i].p)
		if i > 0 && (count > p.cfg.MaxBatch || size > maxRequest) {
			return i
		}
	}
	return len(todo)
}

func (p *Publisher) newUnit(ctx context.Context, todo []pending) *unit {
	u := &unit{ctx: ctx, answer: make(chan answer, 1), messages: make([]protocol.Publish, len(todo))}
	for i := range todo {
		u.messages[i] = todo[i].p
		u.count += todo[i].p.Count()
		u.size += sizeOf(&todo[i].p)
	}
	p.backend.encode(u)
	return u
}

// sizeOf is what p takes of a request, in base64 at worst.
func sizeOf(p *protocol.Publish) int {
	n := messageOverhead + len(p.Payload)*4/3 + len(p.ID) + len(p.Type) + len(p.CollapseKey) + len(p.ContentType) +
		len(p.User) + len(p.Device) + 2*protocol.HeadersSize(p.Headers) + 2*protocol.HeadersSize(p.Where)
	for _, u := range p.Users {
		n += len(u) + 4
	}
	return n
}

// submit queues a unit and waits for its answer.
func (p *Publisher) submit(ctx context.Context, u *unit) ([]protocol.PublishResult, error) {
	p.mu.Lock()
	p.queue = append(p.queue, u)
	p.queued += u.count
	full := p.queued >= p.cfg.MaxBatch
	p.mu.Unlock()
	signal(p.ready)
	if full {
		signal(p.full)
	}
	select {
	case a := <-u.answer:
		return a.results, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.ctx.Done():
		return nil, ErrClosed
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// dispatch makes requests of units. It waits for a free slot before it looks at the queue, so that what comes meanwhile
// goes together.
func (p *Publisher) dispatch() {
	for {
		select {
		case <-p.ready:
		case <-p.ctx.Done():
			return
		}
		select {
		case p.slots <- struct{}{}:
		case <-p.ctx.Done():
			return
		}
		p.linger()
		units, more := p.cut()
		if more {
			signal(p.ready)
		}
		if len(units) == 0 {
			<-p.slots
			continue
		}
		p.work.Go(func() {
			defer func() { <-p.slots }()
			p.send(units)
		})
	}
}

func (p *Publisher) linger() {
	if p.cfg.Linger == 0 {
		return
	}
	t := time.NewTimer(p.cfg.Linger)
	defer t.Stop()
	select {
	case <-t.C:
	case <-p.full:
	case <-p.ctx.Done():
	}
}

// cut takes a request's worth from the queue. Units whose callers have gone are dropped.
func (p *Publisher) cut() (units []*unit, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	count, size, taken := 0, 0, 0
	for _, u := range p.queue {
		if u.ctx.Err() == nil {
			if len(units) > 0 && (count+u.count > p.cfg.MaxBatch || size+u.size > maxRequest) {
				break
			}
			count += u.count
			size += u.size
			units = append(units, u)
		}
		p.queued -= u.count
		taken++
	}
	rest := p.queue[taken:]
	p.queue = append(p.queue[:0:0], rest...)
	return units, len(rest) > 0
}

// send makes one request and hands out its answer.
func (p *Publisher) send(units []*unit) {
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.Timeout)
	defer cancel()
	results, err := p.backend.exchange(ctx, units)
	want := 0
	for _, u := range units {
		want += u.count
	}
	if err == nil && len(results) != want {
		err = fmt.Errorf("ramen: publish: got %d results for %d messages", len(results), want)
	}
	if p.ctx.Err() != nil && err != nil {
		err = errors.Join(ErrClosed, err)
	}
	for _, u := range units {
		if err != nil {
			u.answer <- answer{err: err}
			continue
		}
		u.answer <- answer{results: results[:u.count]}
		results = results[u.count:]
	}
}
