package gateway

import "sync"

// again is the mailboxes with writes in doubt, which the sweeper has found and pinned. One goroutine writes them again, while there
// are some: the store may be down, and the sweeper does not wait for it.
type again struct {
	mu      sync.Mutex
	boxes   []*box            // guarded by mu
	waits   map[*box]struct{} // guarded by mu: those of boxes; while the store is down the sweeper finds them faster than they are written
	running bool              // guarded by mu
}

// writeAgain writes what of boxes is in doubt. It does not wait. It is the sweeper's, which g.loops counts.
func (g *Gateway) writeAgain(boxes []*box) {
	a := &g.again
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waits == nil {
		a.waits = make(map[*box]struct{})
	}
	for _, b := range boxes {
		if _, waits := a.waits[b]; waits {
			g.releaseSwept(b)
			continue
		}
		a.waits[b] = struct{}{}
		a.boxes = append(a.boxes, b)
	}
	if !a.running {
		a.running = true
		g.loops.Go(g.writeAllAgain)
	}
}

func (g *Gateway) writeAllAgain() {
	for boxes := g.again.take(); len(boxes) > 0; boxes = g.again.take() {
		j := g.newJob()
		for _, b := range boxes {
			j.add(op{box: b})
		}
		g.do(j)
		j.free()
		for _, b := range boxes {
			g.releaseSwept(b)
		}
	}
}

// take takes as many as one write may have. None: the goroutine ends.
func (a *again) take() []*box {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, bytes := 0, int32(0)
	for n < min(len(a.boxes), keptOps) && bytes < commitBytes {
		bytes += a.boxes[n].inDoubtBytes.Load()
		delete(a.waits, a.boxes[n])
		n++
	}
	boxes := a.boxes[:n:n]
	if a.boxes = a.boxes[n:]; n == 0 {
		a.boxes, a.waits, a.running = nil, nil, false
	}
	return boxes
}
