package scenario

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"ramen/loadtest/report"
	"ramen/loadtest/stats"
	"ramen/loadtest/workers"
)

// doing is the current order, for the live line.
type doing struct{ v atomic.Pointer[task] }

type task struct {
	verb  workers.Verb
	began time.Time
	lasts time.Duration // 0: until it is done
}

func (d *doing) set(what string)        { d.v.Store(&task{verb: workers.Verb(what), began: time.Now()}) }
func (d *doing) order(o *workers.Order) { d.v.Store(&task{o.Verb, time.Now(), o.For}) }

func (d *doing) get() task {
	if t := d.v.Load(); t != nil {
		return *t
	}
	return task{verb: "start", began: time.Now()}
}

// watchEvery is how often the server's usage is sampled, askEvery how often /metrics is read in a soak, showEvery how often the
// live line is written.
const (
	watchEvery  = time.Second
	askEvery    = 5 * time.Second
	showEvery   = 500 * time.Millisecond
	mostWatched = 2000 // samples; beyond it every second one is dropped
)

// watch samples the server's usage. Reading /metrics costs the server something, so that only a soak reads it; others read /proc.
func (b *bench) watch(ctx context.Context) {
	if len(b.pids) == 0 && b.p.Scenario != "soak" {
		return
	}
	every, asked := watchEvery, time.Time{}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		u := b.usage()
		if u != nil && b.p.Scenario == "soak" && time.Since(asked) >= askEvery {
			asked = time.Now()
			if m := b.metrics(); m != nil {
				u.Goroutines, u.Heap = m.Goroutines, m.Heap
			}
		}
		b.mu.Lock()
		if u != nil {
			b.watched = append(b.watched, *u)
		}
		if len(b.watched) == mostWatched {
			for i := range mostWatched / 2 {
				b.watched[i] = b.watched[2*i]
			}
			b.watched = b.watched[:mostWatched/2]
			every *= 2
			t.Reset(every)
		}
		b.mu.Unlock()
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
	var last view
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		now := view{at: time.Now(), server: b.usageOfServer(), p: b.workers.Progress()}
		line := []rune(b.line(&last, &now))
		width := 80
		if b.cfg.Width != nil {
			width = b.cfg.Width()
		}
		fmt.Fprintf(b.cfg.Live, "\r\033[K%s", string(line[:min(len(line), max(width-1, 20))]))
		last = now
	}
}

// usageOfServer reads /proc for the live line; nil: not known.
func (b *bench) usageOfServer() *stats.Usage {
	if len(b.pids) == 0 {
		return nil
	}
	return b.usage()
}

// view is one moment of the live line.
type view struct {
	at     time.Time
	server *stats.Usage
	p      workers.Progress
}

// line is the live line: the order and its progress; streams, pushes and latency of the last interval; what went wrong.
func (b *bench) line(last, now *view) string {
	d := b.doing.get()
	parts := []string{b.p.Scenario + " " + b.p.Transport, string(d.verb) + " " + progress(&d, now.at)}
	streams := fmt.Sprintf("%s/%s streams", whole(int64(now.p.Live)), whole(int64(b.p.Streams)))
	parts = append(parts, streams)
	if span := now.at.Sub(last.at).Seconds(); !last.at.IsZero() && span > 0 {
		rate := func(was, is int64) float64 {
			if is < was { // counts begin anew with each order
				was = 0
			}
			return float64(is-was) / span
		}
		if pushed, accepted := rate(last.p.Pushes, now.p.Pushes), rate(last.p.Accepted, now.p.Accepted); pushed+accepted > 0 {
			parts = append(parts, fmt.Sprintf("%s/s in, %s/s out", whole(int64(accepted)), whole(int64(pushed))))
		}
		if now.p.P99 > 0 {
			parts = append(parts, fmt.Sprintf("p50 %s p99 %s ms", report.Number(millis(now.p.P50)), report.Number(millis(now.p.P99))))
		}
		if last.server != nil && now.server != nil {
			parts = append(parts, fmt.Sprintf("server %.0f%% %d MB", share(last.server, now.server), now.server.RSS>>20))
		}
	}
	if now.p.Ends > 0 {
		parts = append(parts, whole(now.p.Ends)+" ended")
	}
	if now.p.Violated > 0 {
		parts = append(parts, whole(now.p.Violated)+" VIOLATED")
	}
	return strings.Join(parts, " | ")
}

// progress is how much of an order's time is over; after that, the order waits for what has to come.
func progress(d *task, now time.Time) string {
	over := now.Sub(d.began)
	switch {
	case d.lasts == 0 || d.verb == workers.Connect:
		return fmt.Sprintf("%.0fs", over.Seconds())
	case over > d.lasts+time.Second:
		return fmt.Sprintf("%v, waiting for the rest", d.lasts)
	}
	return fmt.Sprintf("%.0f of %.0fs", over.Seconds(), d.lasts.Seconds())
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func whole(n int64) string { return report.Whole(n) }
