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
	b.out.Add("heartbeats", float64(held.Devices.Beats), "")
	b.out.Add("server's CPU", share(from, to), "%")
	b.out.AddTimes("gap", &held.Devices.Gap)
	b.out.AddTimes("open", &opened.Devices.Open)
	b.load(held)
	b.ended(held)
	if held.Live < b.p.Streams {
		return fmt.Errorf("scenario: hold streams: %d of %d are left", held.Live, b.p.Streams)
	}
	return b.settle(ctx)
}

// heartbeat judges what a heartbeat costs.
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

// The first streams: at most so many, and one in so many. What a process takes once, its code, its threads and its pools, is
// there with them. rest is for its collector to give back what their opening has left; a floor has none to speak of.
const (
	mostFew   = 1000
	oneIn     = 10
	rest      = 10 * time.Second
	restFloor = time.Second
)

// few opens the first streams, and answers what the server takes with them.
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
	if b.p.Floor {
		wait = restFloor
	}
	held, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: wait})
	if err != nil {
		return 0, nil, err
	}
	b.ended(held)
	return int64(opened.Live), b.usage(), nil
}

// memory is the server's with few streams, and what each further one has added.
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
	b.out.Add(fmt.Sprintf("server's RSS with %s streams", report.Whole(few)), float64(with.RSS)/1e6, "MB")
	b.out.Add(fmt.Sprintf("server's RSS with %s streams", report.Whole(n)), float64(after.RSS)/1e6, "MB")
}

// share is the server's CPU time of the time between two moments, percent of a processor.
func share(from, to *stats.Usage) float64 {
	if from == nil || to == nil {
		return math.NaN()
	}
	return 100 * (to.CPU - from.CPU).Seconds() / to.At.Sub(from.At).Seconds()
}

// mostBusy is how much of its processors the load may take until its own queueing shows as latency, percent.
const mostBusy = 80

// load is what the load itself costs, and adds to what it measures.
func (b *bench) load(o *workers.Outcome) {
	if o.Self.CPU > 0 {
		b.out.Add("load's CPU", b.busy, "%")
		b.overloaded("", b.busy)
	}
	b.addTwo("load's own: from due to sent", &o.Feed.Late)
	b.addTwo("load's own: serving what has come", &o.Devices.Turn)
	if o.Self.RSS > 0 {
		b.out.Add("load's RSS a stream", float64(o.Self.RSS)/1024/float64(b.p.Streams), "KB")
	}
}

// overloaded notes where latencies may be the load's own.
func (b *bench) overloaded(when string, busy float64) {
	on := len(b.cfg.LoadOn)
	if on == 0 {
		on = runtime.NumCPU()
	}
	if busy > float64(mostBusy*on) {
		b.note("the load took %.0f %% of a processor%s and had %d: latencies and rates are its own as much as the server's", busy, when, on)
	}
}

// addTwo adds two percentiles of what is no time of the server's.
func (b *bench) addTwo(name string, h *stats.Hist) {
	if h.Count() > 0 {
		b.out.Add(name+", p50", millis(h.At(50)), "ms")
		b.out.Add(name+", p99", millis(h.At(99)), "ms")
	}
}

// ended notes streams that ended unasked.
func (b *bench) ended(o *workers.Outcome) {
	if o.Devices.Moved > 0 {
		b.out.Add("moved to another stream at a goaway's wish", float64(o.Devices.Moved), "")
	}
	if len(o.Devices.Ends) > 0 {
		b.note("streams ended unasked: %s", ends(o.Devices.Ends))
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
	return b.settle(ctx)
}

// connectCost is what a connect costs, by its name here and in the table of a run.
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

// pauseTime is what a server gets to let go of streams that were cut.
func (b *bench) pauseTime() time.Duration {
	return 200*time.Millisecond + time.Duration(min(b.p.Streams, 3000))*time.Millisecond
}

// pause cuts all streams and lets the server come to rest.
func (b *bench) pause(ctx context.Context) error {
	if _, err := b.do(ctx, workers.Order{Verb: workers.Cut}); err != nil {
		return err
	}
	_, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: b.pauseTime()})
	return err
}
