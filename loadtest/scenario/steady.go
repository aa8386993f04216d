package scenario

import (
	"context"
	"fmt"
	"math"
	"time"

	"ramen/loadtest/crew"
	"ramen/loadtest/gauge"
)

// idle holds streams.
func (b *bench) idle(ctx context.Context) error {
	n := int64(b.p.Streams)
	before := b.usage()
	opened, err := b.open(ctx)
	if err != nil {
		return err
	}
	connected := b.usage()
	if _, err := b.do(ctx, crew.Order{Verb: crew.Hold, For: b.p.Warm}); err != nil {
		return err
	}
	from := b.usage()
	held, err := b.do(ctx, crew.Order{Verb: crew.Hold, For: b.p.For})
	if err != nil {
		return err
	}
	to := b.usage()
	b.out.About = fmt.Sprintf("%d streams over %s, held for %v", n, b.p.Transport, b.p.For)
	b.out.Add("streams at the end", float64(held.Live), "")
	b.memory("memory a stream (RSS)", before, to, n)
	if m := b.metrics(); m != nil && m.Heap > 0 {
		b.out.Add("Go heap in use", float64(m.Heap)/1e6, "MB")
		b.out.Add("goroutines", float64(m.Goroutines), "")
	}
	b.out.Add("CPU a connect", cpu(before, connected, n), "µs")
	beat := b.out.Add("CPU a heartbeat", cpu(from, to, held.Devices.Beats), "µs")
	switch b.p.Transport {
	case "sse":
		beat.AtMostOf(9)
	case "ws", "ws-proto", "ws-json", "grpc":
		beat.AtMostOf(13)
	}
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

// memory is what n streams have added to the server.
func (b *bench) memory(name string, before, after *gauge.Usage, n int64) {
	if before == nil || after == nil {
		return
	}
	r := b.out.Add(name, float64(after.RSS-before.RSS)/1024/float64(n), "KB")
	switch b.p.Transport {
	case "sse", "ws", "ws-proto", "ws-json":
		r.AtMostOf(2)
	case "grpc":
		r.AtMostOf(36)
	}
	b.out.Add("server's RSS", float64(after.RSS)/1e6, "MB")
}

// share is the server's CPU time of the time between two moments, percent of a processor.
func share(from, to *gauge.Usage) float64 {
	if from == nil || to == nil {
		return math.NaN()
	}
	return 100 * (to.CPU - from.CPU).Seconds() / to.At.Sub(from.At).Seconds()
}

// load is what the load itself costs, at the end of an order.
func (b *bench) load(o *crew.Outcome) {
	if o.Self.RSS > 0 {
		b.out.Add("load's RSS a stream", float64(o.Self.RSS)/1024/float64(b.p.Streams), "KB")
	}
}

// ended notes streams that ended unasked.
func (b *bench) ended(o *crew.Outcome) {
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
	b.out.Add("CPU a connect, first", cpu(from, to, n), "µs")
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
	r := b.out.Add("CPU a connect, known devices", cpu(from, to, n), "µs")
	if b.p.Transport == "ws" || b.p.Transport == "sse" || b.p.Transport == "ws-json" {
		r.AtMostOf(40)
		b.out.Rows[0].AtMostOf(40)
	}
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
	b.out.Add("CPU a connect, as fast as it goes", cpu(from, to, n), "µs")
	b.load(fast)
	return b.settle(ctx)
}

// pauseTime is what a server gets to let go of streams that were cut.
func (b *bench) pauseTime() time.Duration {
	return 200*time.Millisecond + time.Duration(min(b.p.Streams, 3000))*time.Millisecond
}

// pause cuts all streams and lets the server come to rest.
func (b *bench) pause(ctx context.Context) error {
	if _, err := b.do(ctx, crew.Order{Verb: crew.Cut}); err != nil {
		return err
	}
	_, err := b.do(ctx, crew.Order{Verb: crew.Hold, For: b.pauseTime()})
	return err
}
