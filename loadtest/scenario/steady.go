package scenario

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"time"

	"ramen/loadtest/report"
	"ramen/loadtest/stats"
	"ramen/loadtest/workers"
)

// idle holds streams.
func (b *bench) idle(ctx context.Context) error {
	n := int64(b.p.Streams)
	few, base, err := b.few(ctx)
	if err != nil {
		return err
	}
	before := b.usage()
	opened, err := b.open(ctx)
	if err != nil {
		return err
	}
	connected := b.usage()
	if _, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: b.p.Warm}); err != nil {
		return err
	}
	from := b.usage()
	held, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: b.p.For})
	if err != nil {
		return err
	}
	to := b.usage()
	b.out.About = fmt.Sprintf("%d streams over %s, held for %v", n, b.p.Transport, b.p.For)
	b.out.Add("streams at the end", float64(held.Live), "")
	b.memory(few, base, to)
	if m := b.metrics(); m != nil && m.Heap > 0 {
		b.out.Add("Go heap in use", float64(m.Heap)/1e6, "MB")
		b.out.Add("goroutines", float64(m.Goroutines), "")
	}
	b.out.Add("CPU a connect", cpu(before, connected, n-few), "µs")
	b.heartbeat(b.out.Add("CPU a heartbeat", cpu(from, to, held.Devices.Beats), "µs"))
	b.ofEach("CPU a heartbeat", from, to, held.Devices.Beats)
	b.out.Add("heartbeats", float64(held.Devices.Beats), "")
	b.out.Add("server's CPU", share(from, to), "%")
	b.out.AddTimes("gap", &held.Devices.Gap)
	b.out.AddTimes("open", &opened.Devices.Open)
	b.load(held)
	b.ended(held)
	if held.Live < b.p.Streams {
		return fmt.Errorf("scenario: hold streams: %d of %d are left", held.Live, b.p.Streams)
	}
	return b.verify(ctx)
}

// heartbeat sets the budget of a heartbeat.
func (b *bench) heartbeat(r *report.Row) {
	switch b.p.Transport {
	case "sse":
		b.called(r, "CPU a heartbeat, one way")
		if b.plain() {
			r.AtMostOf(9).Where(7.6)
		}
	case "ws", "ws-proto", "ws-json", "grpc":
		b.called(r, "CPU a heartbeat, with its echo")
		if b.plain() {
			r.AtMostOf(13)
		}
	default:
		b.called(r, "CPU a heartbeat")
	}
}

// The first streams are one in oneIn, and no more than mostFew. With them the process has what it takes once: code, threads and pools.
// rest lets its collector give back what the openings left; the baseline server hardly needs it.
const (
	mostFew      = 1000
	oneIn        = 10
	rest         = 10 * time.Second
	restBaseline = time.Second
)

// few opens the first streams, and returns the server's usage with them.
func (b *bench) few(ctx context.Context) (n int64, with *stats.Usage, err error) {
	some := min(mostFew, b.p.Streams/oneIn)
	if some == 0 {
		return 0, b.usage(), nil
	}
	opened, err := b.openPart(ctx, some)
	if err != nil {
		return 0, nil, err
	}
	wait := rest
	if b.p.Baseline {
		wait = restBaseline
	}
	held, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: wait})
	if err != nil {
		return 0, nil, err
	}
	b.ended(held)
	return int64(opened.Live), b.usage(), nil
}

// memory adds the server's memory with the first streams, and what each further stream added.
func (b *bench) memory(few int64, with, after *stats.Usage) {
	n := int64(b.p.Streams)
	if with == nil || after == nil || n == few {
		return
	}
	r := b.out.Add("memory a stream (RSS)", float64(after.RSS-with.RSS)/1024/float64(n-few), "KB")
	b.called(r, "memory of an idle stream (RSS, %s streams)", report.Whole(n))
	switch {
	case !b.plain():
	case slices.Contains([]string{"sse", "ws", "ws-proto", "ws-json"}, b.p.Transport):
		r.AtMostOf(2)
	case b.p.Transport == "grpc":
		r.AtMostOf(36)
	}
	b.memoryOfEach(with, after, n-few)
	b.out.Add(fmt.Sprintf("server's RSS with %s streams", report.Whole(few)), float64(with.RSS)/1e6, "MB")
	b.out.Add(fmt.Sprintf("server's RSS with %s streams", report.Whole(n)), float64(after.RSS)/1e6, "MB")
}

// share is the server's CPU time between two moments, in percent of a processor.
func share(from, to *stats.Usage) float64 {
	if from == nil || to == nil {
		return math.NaN()
	}
	return 100 * (to.CPU - from.CPU).Seconds() / to.At.Sub(from.At).Seconds()
}

// mostBusy is how much of its processors the load may use before its own queueing shows as latency, in percent.
const mostBusy = 80

// load adds what the load itself costs, and how much it adds to latencies.
func (b *bench) load(o *workers.Outcome) {
	if o.Self.CPU > 0 {
		b.out.Add("load's CPU", b.busy, "%")
		b.overloaded("", b.busy)
	}
	b.addTwo("load's own: from due to sent", &o.Published.Late)
	b.addTwo("load's own: serving what has come", &o.Devices.Turn)
	if o.Self.RSS > 0 {
		b.out.Add("load's RSS a stream", float64(o.Self.RSS)/1024/float64(b.p.Streams), "KB")
	}
}

// overloaded notes that latencies may be the load's own.
func (b *bench) overloaded(when string, busy float64) {
	on := len(b.cfg.LoadOn)
	if on == 0 {
		on = runtime.NumCPU()
	}
	if busy > float64(mostBusy*on) {
		b.note("the load used %.0f %% of a processor%s and had %d: latencies and rates are limited by the load as much as by the server", busy, when, on)
	}
}

// addTwo adds two percentiles of a time that is not the server's.
func (b *bench) addTwo(name string, h *stats.Hist) {
	if h.Count() > 0 {
		b.out.Add(name+", p50", millis(h.At(50)), "ms")
		b.out.Add(name+", p99", millis(h.At(99)), "ms")
	}
}

// ended notes streams that ended unexpectedly.
func (b *bench) ended(o *workers.Outcome) {
	if o.Devices.Moved > 0 {
		b.out.Add("moved to another stream at a goaway's wish", float64(o.Devices.Moved), "")
	}
	if len(o.Devices.Ends) > 0 {
		b.note("streams ended unexpectedly: %s", ends(o.Devices.Ends))
	}
}

// connect opens streams at a rate, and once more as fast as it goes.
func (b *bench) connect(ctx context.Context) error {
	n := int64(b.p.Streams)
	from := b.usage()
	paced, err := b.open(ctx)
	if err != nil {
		return err
	}
	to := b.usage()
	b.out.About = fmt.Sprintf("%d streams over %s", n, b.p.Transport)
	b.connectCost("CPU a connect, first", cpu(from, to, n), fmt.Sprintf("CPU a connect of new devices, %s/s", report.Number(b.p.connects())))
	b.out.Add("rate asked for", b.p.connects(), "/s")
	b.out.AddTimes("open", &paced.Devices.Open)
	if err := b.pause(ctx); err != nil {
		return err
	}
	from = b.usage()
	again, err := b.open(ctx)
	if err != nil {
		return err
	}
	to = b.usage()
	b.connectCost("CPU a connect, known devices", cpu(from, to, n), fmt.Sprintf("CPU a connect of known devices, %s/s", report.Number(b.p.connects())))
	b.ended(again)
	if err := b.pause(ctx); err != nil {
		return err
	}
	b.p.Connects = -1
	from = b.usage()
	fast, err := b.open(ctx)
	if err != nil {
		return err
	}
	to = b.usage()
	b.out.Add("as fast as it goes", float64(n)/fast.Took.Seconds(), "/s")
	b.connectCost("CPU a connect, as fast as it goes", cpu(from, to, n), "CPU a connect, as fast as it goes")
	b.load(fast)
	return b.verify(ctx)
}

// connectCost adds what a connect costs, under its names here and in the table of a run.
func (b *bench) connectCost(name string, us float64, measure string) {
	r := b.out.Add(name, us, "µs")
	if b.p.Auth || b.cfg.Serve != nil && b.cfg.Serve.Auth {
		measure += ", token checked"
	}
	b.called(r, "%s", measure)
	if b.plain() && slices.Contains([]string{"sse", "ws", "ws-proto", "ws-json"}, b.p.Transport) {
		r.AtMostOf(40).Where(17)
	}
}

// pauseTime is how long a server gets to clean up streams that were cut.
func (b *bench) pauseTime() time.Duration {
	return 200*time.Millisecond + time.Duration(min(b.p.Streams, 3000))*time.Millisecond
}

// pause cuts all streams and waits until the server is idle.
func (b *bench) pause(ctx context.Context) error {
	if _, err := b.do(ctx, workers.Order{Verb: workers.Cut}); err != nil {
		return err
	}
	_, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: b.pauseTime()})
	return err
}
