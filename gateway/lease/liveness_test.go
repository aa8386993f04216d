package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// pace is how a store answers one process.
type pace struct {
	most   map[memory.Kind]time.Duration // the most that a call takes
	stuck  time.Time                     // until then nothing is answered, as to a process that is stopped
	silent protocol.ShardID              // shards from here on are not answered
	mute   bool                          // who is there can be read, and not be said
}

// lively is a schedule of processes on a disk, all of which are to come to rest once it has ended.
type lively struct {
	t        *testing.T
	disk     *memory.Disk
	unfenced bool

	mu    sync.Mutex
	r     *rand.Rand
	paces map[string]pace

	running []*process
	started int
}

func (l *lively) draw(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.IntN(n)
}

func (l *lively) set(name string, p pace) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.paces[name] = p
}

func (l *lively) paceOf(name string) pace {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paces[name]
}

// script is a store that answers name at its pace: what is late has taken effect, or has not.
func (l *lively) script(name string) memory.Script {
	return func(ctx context.Context, op memory.Op) memory.Fault {
		p := l.paceOf(name)
		late := func() memory.Fault {
			<-ctx.Done()
			return memory.Fault{Err: fmt.Errorf("%w: %w", store.ErrUnknown, ctx.Err()), Lost: l.draw(2) == 0}
		}
		if op.Kind == memory.OpAdmit {
			return memory.Fault{}
		}
		if time.Now().Before(p.stuck) || op.Shard >= p.silent && op.Kind != memory.OpRenew && op.Kind != memory.OpPresence {
			return late()
		}
		if p.mute && op.Kind == memory.OpRenew {
			return memory.Fault{Err: errMute}
		}
		most := p.most[op.Kind]
		if most == 0 {
			return memory.Fault{}
		}
		takes := time.Duration(l.draw(int(most/time.Millisecond))) * time.Millisecond
		if end, ok := ctx.Deadline(); ok && time.Until(end) <= takes {
			return late()
		}
		if l.draw(2) == 0 {
			time.Sleep(takes)
			return memory.Fault{}
		}
		return memory.Fault{Answer: func() { time.Sleep(takes) }}
	}
}

var errMute = fmt.Errorf("out of memory")

// begin starts a process.
func (l *lively) begin() *process {
	name := fmt.Sprint("p", l.started)
	l.started++
	l.set(name, pace{silent: shards})
	p := newProcess(l.t, l.disk, name)
	p.store.Script(l.script(name))
	starting, cancel := context.WithTimeout(context.Background(), time.Duration(l.draw(3000))*time.Millisecond)
	defer cancel()
	p.lease.Start(starting, p.g)
	l.running = append(l.running, p)
	return p
}

// kill ends process i without a word.
func (l *lively) kill(i int) {
	p := l.running[i]
	l.running = append(l.running[:i], l.running[i+1:]...)
	p.store.Close()
	p.store.Script(nil)
	_ = p.g.Close(context.Background())
	p.lease.Close(context.Background())
}

// disturb does something to any of the processes, or to the store.
func (l *lively) disturb() {
	i := l.draw(len(l.running))
	name := l.running[i].name
	p := l.paceOf(name)
	switch l.draw(8) {
	case 0:
		if len(l.running) < 3 {
			l.begin()
		}
	case 1:
		if len(l.running) > 1 {
			l.kill(i)
		}
	case 2:
		p.stuck = time.Now().Add(time.Second + time.Duration(l.draw(5000))*time.Millisecond)
		l.set(name, p)
	case 3:
		p.silent = protocol.ShardID(l.draw(shards + 1))
		l.set(name, p)
	case 4:
		ms := func(n int) time.Duration { return time.Duration(l.draw(n)) * time.Millisecond }
		p.most = map[memory.Kind]time.Duration{memory.OpClaims: ms(1500), memory.OpPresence: ms(600), memory.OpClaim: ms(4000), memory.OpRenew: ms(1500)}
		l.set(name, p)
	case 5:
		p.mute = !p.mute
		l.set(name, p)
	case 6:
		if r := l.disk.Replica(); !l.unfenced {
			time.Sleep(time.Duration(l.draw(1000)) * time.Millisecond)
			r.Promote()
		}
	case 7:
		l.set(name, pace{silent: shards})
	}
}

// TestOneServesOnceAllIsWell: processes are started, killed and stopped, the store does not answer, or late, or has lost what it had. Once all that
// is over one process serves all, soon, and goes on to: no two take the shards from each other, and no two wait for each other. A store that is well
// answers within the time of a reading, at most.
func TestOneServesOnceAllIsWell(t *testing.T) {
	eachSeed(t, 100, 20, oneServesInTheEnd)
}

// The bounds of TestOneServesOnceAllIsWell: readings of 0.8 s, claims of 2.4 s, one after the other, and the lease of whoever had the shards.
const (
	soonServed = 25 * time.Second
	goesOn     = 15 * time.Second
)

func oneServesInTheEnd(t *testing.T, seed uint64, unfenced bool) {
	r := rand.New(rand.NewPCG(seed, 3))
	l := &lively{t: t, unfenced: unfenced, disk: memory.NewDisk(memory.Config{CheckLast: !unfenced, Unfenced: unfenced}), r: r, paces: make(map[string]pace)}
	l.begin()
	for range 5 + l.draw(15) {
		l.disturb()
		time.Sleep(time.Duration(l.draw(2500)) * time.Millisecond)
	}
	slow := [][4]time.Duration{{}, {300, 300, 300, 300}, {400, 390, 590, 790}}[l.draw(3)] // a claim is of four shards, one after the other
	for _, p := range l.running {
		l.set(p.name, pace{silent: shards, most: map[memory.Kind]time.Duration{memory.OpClaims: slow[0] * time.Millisecond,
			memory.OpPresence: slow[1] * time.Millisecond, memory.OpClaim: slow[2] * time.Millisecond, memory.OpRenew: slow[3] * time.Millisecond}})
	}
	time.Sleep(length + every) // what was served until now may yet end with a lease that could not be renewed
	began := time.Now()
	owner := l.owner()
	for ; owner == nil; owner = l.owner() {
		if time.Since(began) > soonServed {
			for _, p := range l.running {
				t.Errorf("unfenced %v: %s does not serve after %v: %v, %v", unfenced, p.name, soonServed, p.lease.Ready(), p.lease.Partial())
			}
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	settled := time.Since(began)
	for began = time.Now(); owner != nil && time.Since(began) < goesOn; time.Sleep(100 * time.Millisecond) {
		if l.owner() != owner {
			t.Errorf("unfenced %v: %s serves after %v, and %v later it does not: %v, %v", unfenced, owner.name, settled, time.Since(began), owner.lease.Ready(), owner.lease.Partial())
			break
		}
	}
	for len(l.running) > 0 {
		l.kill(0)
	}
}

// owner is the process that serves all shards; nil: there is none.
func (l *lively) owner() *process {
	synctest.Wait()
	var owner *process
	for _, p := range l.running {
		if p.g.Serving() == nil && p.lease.Partial() == nil && p.serves() {
			if owner != nil { // where the store fences, the older one learns of it with its next reading
				if l.unfenced {
					l.t.Errorf("%s and %s serve", owner.name, p.name)
				}
				return nil
			}
			owner = p
		}
	}
	return owner
}

// TestWhoCannotSayThatItIsThere: of two processes one or both cannot say that they are there, and all else is well, as where one node of a Redis
// Cluster is full. They do not take the shards from each other: the owner goes on, and where it is killed the other follows, though late.
func TestWhoCannotSayThatItIsThere(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		for _, mute := range [][2]bool{{true, false}, {false, true}, {true, true}} {
			synctest.Test(t, func(t *testing.T) { whoCannotSay(t, unfenced, mute) })
		}
	}
}

func whoCannotSay(t *testing.T, unfenced bool, mute [2]bool) {
	l := &lively{t: t, unfenced: unfenced, disk: memory.NewDisk(memory.Config{CheckLast: !unfenced, Unfenced: unfenced}),
		r: rand.New(rand.NewPCG(1, 3)), paces: make(map[string]pace)}
	for range 2 {
		l.begin()
		time.Sleep(2 * length)
	}
	for i, p := range l.running {
		l.set(p.name, pace{silent: shards, mute: mute[i]})
	}
	const looks, every = 1200, 50 * time.Millisecond
	owner, changes, none := l.owner(), 0, 0
	for range looks {
		time.Sleep(every)
		switch now := l.owner(); {
		case now == nil:
			none++
		case now != owner:
			owner, changes = now, changes+1
		}
	}
	most := 1 // the second may be the one that is not there
	if mute[0] && mute[1] {
		most = int(looks * every / patience)
	}
	if owner == nil || changes > most || none > looks/10 {
		t.Errorf("unfenced %v, mute %v: the owner has changed %d times, and nobody was it for %v of %v", unfenced, mute, changes, time.Duration(none)*every, looks*every)
	}
	for i, p := range l.running {
		if p == owner {
			l.kill(i)
			break
		}
	}
	began := time.Now()
	for l.owner() == nil {
		if time.Sleep(every); time.Since(began) > patience+3*length {
			t.Errorf("unfenced %v, mute %v: nobody serves %v after the owner was killed", unfenced, mute, time.Since(began))
			break
		}
	}
	l.kill(0)
}
