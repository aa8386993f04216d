package simulation

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// bus carries every message between the processes of a schedule, and is their only source of chance: when a message arrives follows from the
// seed, from when it was sent, and from what it says, and from nothing else. So it does not matter in which order goroutines send what they
// send at one moment. No two messages arrive at the same nanosecond, and virtual time goes on only once all is quiet: so one is handled at a
// time, in an order that the seed alone gives.
type bus struct {
	seed  uint64
	slow  uint64 // of 1,000 messages so many are slow
	began time.Time

	mu sync.Mutex
	// guarded by mu
	taken  map[int64]bool // instants, in ns since began, at which something happens
	nodes  []*node
	cuts   map[path]int64    // until when nothing passes
	orders map[*int64][]sent // of each sequence, what is under way, in the order in which it was sent
	events []event
	wrong  []string // properties that did not hold
}

// node is a process, a server that they share, or a device.
type node struct {
	name   string
	id     int
	dead   bool  // guarded by bus.mu: it was killed, and sends and gets nothing
	paused int64 // guarded by bus.mu: until when it is stopped
}

// sent is a message that is under way, and what it does.
type sent struct {
	m message
	f func()
}

// path is from one node to another.
type path struct{ from, to int }

// event is one line of a trace. It is made into text only where somebody reads it.
type event struct {
	at       int64
	from, to *node
	what     string
	a, b     uint64
	text     string
}

func newBus(seed uint64) *bus {
	b := &bus{seed: seed, began: time.Now(), taken: make(map[int64]bool), cuts: make(map[path]int64), orders: make(map[*int64][]sent)}
	b.slow = []uint64{2, 20, 60, 150}[b.hash("slow", 0, 0)%4]
	return b
}

func (b *bus) node(name string) *node {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := &node{name: name, id: len(b.nodes)}
	b.nodes = append(b.nodes, n)
	return n
}

func (b *bus) now() int64 { return int64(time.Since(b.began)) }

// hash is a number that follows from the seed, the moment, and what it is for.
func (b *bus) hash(what string, a, c uint64) uint64 {
	h := xxhash.Sum64String(what) ^ b.seed*0x9e3779b97f4a7c15
	h = mix(h ^ uint64(b.now()))
	h = mix(h ^ a)
	return mix(h ^ c)
}

func mix(h uint64) uint64 {
	h += 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// draw is from 0 to n-1: what a process of the product draws.
func (b *bus) draw(n int64) int64 { return int64(b.hash("draw", uint64(n), 0) % uint64(n)) }

// message is what is sent. Two that are sent at one moment and say the same arrive one after the other.
type message struct {
	from, to *node
	what     string
	a, b     uint64
	text     string
	after    *int64 // of a sequence in which messages keep their order: when its last one arrives; nil: of none
	quiet    bool   // it leaves no trace
}

// key is a number for what m says.
func (m *message) key() uint64 {
	return mix(uint64(m.from.id)<<32|uint64(m.to.id)) ^ mix(m.a) ^ mix(m.b+1) ^ xxhash.Sum64String(m.text)
}

// transit is how long a message is under way.
func (b *bus) transit(m *message) int64 {
	h := b.hash(m.what, m.key(), 0)
	if h%1000 < b.slow {
		return 10e6 + int64(mix(h)%1_200e6)
	}
	return 50e3 + int64(mix(h)%2e6)
}

// send has f be called when m arrives. What was sent by who is dead is not sent, and what comes to one is lost.
func (b *bus) send(m message, f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.from.dead {
		return
	}
	at := max(b.now(), b.blockedLocked(&m)) + b.transit(&m)
	if m.after != nil {
		at = max(at, *m.after+1)
	}
	at = b.takeLocked(at)
	if m.after != nil {
		*m.after = at
		b.orders[m.after] = append(b.orders[m.after], sent{m, f})
	}
	b.deliverAt(at, m, f)
}

// blockedLocked is until when nothing passes from m's sender to its receiver.
func (b *bus) blockedLocked(m *message) int64 {
	return max(m.from.paused, m.to.paused, b.cuts[path{m.from.id, m.to.id}])
}

// takeLocked takes an instant that nothing else has: at, or one soon after.
func (b *bus) takeLocked(at int64) int64 {
	for b.taken[at] {
		at++
	}
	b.taken[at] = true
	return at
}

func (b *bus) deliverAt(at int64, m message, f func()) {
	time.AfterFunc(time.Duration(at-b.now()), func() {
		b.mu.Lock()
		switch until := max(m.to.paused, b.cuts[path{m.from.id, m.to.id}]); {
		case m.to.dead:
			b.mu.Unlock()
			return
		case until > at: // it was stopped, or cut off, while this was under way
			later := until + b.transit(&m)
			if m.after != nil {
				later = max(later, *m.after+1)
				*m.after = later
			}
			b.deliverAt(b.takeLocked(later), m, f)
			b.mu.Unlock()
			return
		}
		if m.after != nil { // what was sent later may have been stopped for less long
			m, f = b.nextLocked(m.after)
		}
		if !m.quiet {
			b.events = append(b.events, event{at, m.from, m.to, m.what, m.a, m.b, m.text})
		}
		b.mu.Unlock()
		f()
	})
}

// nextLocked is the first message of a sequence that has not arrived.
func (b *bus) nextLocked(sequence *int64) (message, func()) {
	all := b.orders[sequence]
	if len(all) == 1 {
		delete(b.orders, sequence)
	} else {
		b.orders[sequence] = all[1:]
	}
	return all[0].m, all[0].f
}

// at has f be called so long from now, at an instant of its own.
func (b *bus) at(d time.Duration, f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	time.AfterFunc(time.Duration(b.takeLocked(now+int64(d))-now), f)
}

// note adds what has happened in a process to the trace.
func (b *bus) note(n *node, what string, a, c uint64, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, event{b.now(), n, nil, what, a, c, text})
}

// broken says that a property does not hold.
func (b *bus) broken(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wrong = append(b.wrong, fmt.Sprintf("%v: ", time.Duration(b.now()))+fmt.Sprintf(format, args...))
}

func (b *bus) isBroken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.wrong) > 0
}

func (b *bus) isDead(n *node) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return n.dead
}

func (b *bus) kill(n *node) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n.dead = true
}

// pause stops a process for so long.
func (b *bus) pause(n *node, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n.paused = max(n.paused, b.now()+int64(d))
}

// cut has nothing pass from one node to another for so long.
func (b *bus) cut(from, to *node, d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := path{from.id, to.id}
	b.cuts[p] = max(b.cuts[p], b.now()+int64(d))
}

// blocked is until when nothing passes in one of the two directions, or one of them is stopped; of the past where all passes.
func (b *bus) blocked(x, y *node) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(x.paused, y.paused, b.cuts[path{x.id, y.id}], b.cuts[path{y.id, x.id}])
}

// pausedFor is how long from now n is stopped; 0: it is not.
func (b *bus) pausedFor(n *node) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Duration(max(n.paused-b.now(), 0))
}

// trace is all that has happened, a line each, in the order in which it did.
func (b *bus) trace() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := make([]string, len(b.events))
	for i, e := range b.events {
		to := ""
		if e.to != nil {
			to = " > " + e.to.name
		}
		lines[i] = fmt.Sprintf("%14d %s%s %s %d %d %s\n", e.at, e.from.name, to, e.what, e.a, e.b, e.text)
	}
	slices.Sort(lines) // of one moment: what a process does to its shards at once has no order
	return strings.Join(lines, "")
}
