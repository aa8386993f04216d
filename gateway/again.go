package gateway

import (
	"errors"
	"sync"
	"time"

	"ramen/link"
)

// again is the mailboxes that are to be written without a publish: with writes in doubt, which the sweeper has found, or of a store that
// may have lost what it had answered, which are probed. They are pinned. One goroutine writes them, while there are some: the store may
// be down, and the sweeper does not wait for it.
type again struct {
	mu      sync.Mutex
	boxes   []*box         // guarded by mu
	waits   map[*box]probe // guarded by mu: those of boxes; while the store is down the sweeper finds them faster than they are written
	running bool           // guarded by mu
}

// probe asks the store whether it still has what it has answered for a mailbox.
type probe struct {
	asked bool
	// since is the time, as positions have it, at which the store had lost nothing yet. An append of later says nothing of what was written
	// before it.
	since uint64
}

// and is what answers p and o.
func (p probe) and(o probe) probe {
	if p.asked && o.asked {
		return probe{true, min(p.since, o.since)}
	}
	if p.asked {
		return p
	}
	return o
}

// probeMost is how many mailboxes are probed at once, probePause how long the next wait for it: publishers need the store meanwhile. A
// million take two minutes. Where the store fails, the next wait for retryPause.
const (
	probeMost  = 256
	probePause = 20 * time.Millisecond
	retryPause = 500 * time.Millisecond
)

// writeAgain writes what of boxes is in doubt, and probes them where p asks. It does not wait.
func (g *Gateway) writeAgain(boxes []*box, p probe) {
	a := &g.again
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waits == nil {
		a.waits = make(map[*box]probe)
	}
	for _, b := range boxes {
		if before, waits := a.waits[b]; waits {
			a.waits[b] = before.and(p)
			if before.asked && p.asked {
				b.endProbes(1) // one answers both
			}
			g.releaseSwept(b)
			continue
		}
		a.waits[b] = p
		a.boxes = append(a.boxes, b)
	}
	if len(a.boxes) > 0 && !a.running {
		a.running = true
		g.unlessClosed(g.writeAllAgain)
	}
}

func (g *Gateway) writeAllAgain() {
	for boxes, pause := g.again.take(); len(boxes) > 0; boxes, pause = g.again.take() {
		j := g.newJob()
		for b, p := range boxes {
			j.add(op{box: b, probe: p})
		}
		g.do(j)
		for i := range j.ops {
			o := &j.ops[i]
			switch {
			case !o.probe.asked || o.Err == nil || errors.Is(o.Err, link.ErrNotOwner):
				if o.probe.asked && o.Err == nil {
					o.box.endProbes(1)
				}
				g.releaseSwept(o.box)
				continue
			case !errors.Is(o.Err, errNotProbed):
				pause = retryPause
			}
			g.writeAgain([]*box{o.box}, o.probe)
		}
		j.free()
		g.rest(pause)
	}
}

// rest waits for so long, and reports whether g is not closed by then.
func (g *Gateway) rest(pause time.Duration) bool {
	if pause == 0 {
		return true
	}
	select {
	case <-time.After(pause):
		return true
	case <-g.closing:
		return false
	}
}

// take takes as many as one write may have, and says how long the next wait for it. None: the goroutine ends.
func (a *again) take() (boxes map[*box]probe, pause time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	boxes = make(map[*box]probe)
	bytes, most := int32(0), keptOps
	n := 0
	for ; n < min(len(a.boxes), most) && bytes < commitBytes; n++ {
		b := a.boxes[n]
		bytes += b.inDoubtBytes.Load()
		if boxes[b] = a.waits[b]; boxes[b].asked {
			most, pause = probeMost, probePause
		}
		delete(a.waits, b)
	}
	if a.boxes = a.boxes[n:]; n == 0 {
		a.boxes, a.waits, a.running = nil, nil, false
	}
	return boxes, pause
}
