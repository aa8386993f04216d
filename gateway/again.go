package gateway

import "sync"

// again is the mailboxes with writes in doubt, which the sweeper has found and pinned. One goroutine writes them again, while there
// are some: the store may be down, and the sweeper does not wait for it.
type again struct {
	mu      sync.Mutex
	boxes   []*box // guarded by mu
	running bool   // guarded by mu
}

// writeAgain writes what of boxes is in doubt. It does not wait. It is the sweeper's, which g.loops counts.
func (g *Gateway) writeAgain(boxes []*box) {
	g.again.mu.Lock()
	defer g.again.mu.Unlock()
	g.again.boxes = append(g.again.boxes, boxes...)
	if !g.again.running {
		g.again.running = true
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
	for n < len(a.boxes) && bytes < commitBytes {
		bytes += a.boxes[n].inDoubtBytes.Load()
		n++
	}
	boxes := a.boxes[:n:n]
	if a.boxes = a.boxes[n:]; n == 0 {
		a.boxes, a.running = nil, false
	}
	return boxes
}
