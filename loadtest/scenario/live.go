package scenario

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// doing is what is under way, for those who watch.
type doing struct{ v atomic.Pointer[string] }

func (d *doing) set(s string) { d.v.Store(&s) }

func (d *doing) get() string {
	if s := d.v.Load(); s != nil {
		return *s
	}
	return ""
}

// watchEvery is how often the server's usage is noted; showEvery, how often the live line is.
const (
	watchEvery  = time.Second
	showEvery   = 500 * time.Millisecond
	mostWatched = 2000 // moments; beyond it every second one is left out
)

// watch notes what the server uses. /metrics would cost the server something, so that only /proc is read.
func (b *bench) watch(ctx context.Context) {
	if b.pid == 0 {
		return
	}
	every := watchEvery
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if u := b.usage(); u != nil {
			b.out.Server = append(b.out.Server, *u)
		}
		if len(b.out.Server) == mostWatched {
			for i := range mostWatched / 2 {
				b.out.Server[i] = b.out.Server[2*i]
			}
			b.out.Server = b.out.Server[:mostWatched/2]
			every *= 2
			t.Reset(every)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// show keeps the live line.
func (b *bench) show(ctx context.Context) {
	if b.cfg.Live == nil {
		return
	}
	t := time.NewTicker(showEvery)
	defer t.Stop()
	defer fmt.Fprint(b.cfg.Live, "\r\033[K")
	last, at := int64(0), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		p := b.crew.Progress()
		rate := float64(max(p.Pushes-last, 0)) / time.Since(at).Seconds()
		last, at = p.Pushes, time.Now()
		line := fmt.Sprintf("%s %4.0fs  %-8s %6d streams  %8.0f pushes/s", b.p.Scenario, time.Since(b.began).Seconds(), b.doing.get(), p.Live, rate)
		if b.pid != 0 {
			if u := b.usage(); u != nil {
				line += fmt.Sprintf("  server %d MB", u.RSS>>20)
			}
		}
		fmt.Fprintf(b.cfg.Live, "\r\033[K%s", line)
	}
}
