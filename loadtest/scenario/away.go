package scenario

import (
	"context"
	"fmt"

	"ramen/loadtest/report"
	"ramen/loadtest/workers"
)

// replay publishes to users that are offline, waits For, and lets them come back.
func (b *bench) replay(ctx context.Context) error {
	if _, err := b.open(ctx); err != nil {
		return err
	}
	if err := b.pause(ctx); err != nil {
		return err
	}
	published, err := b.do(ctx, workers.Order{Verb: workers.Each, Count: b.p.Messages})
	if err != nil {
		return err
	}
	b.refusals(published)
	if _, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: max(b.pauseTime(), b.p.For)}); err != nil {
		return err
	}
	if b.cfg.Measuring != nil {
		b.cfg.Measuring()
	}
	b.p.Connects = -1
	from, store := b.usage(), b.storeUsage()
	back, err := b.open(ctx)
	if err != nil {
		return err
	}
	to := b.usage()
	b.ofStore("a message, the connect included", store, back.Devices.New)
	b.out.About = fmt.Sprintf("%d messages to each of %d devices over %s that come back at once", b.p.Messages, b.p.Streams, b.p.Transport)
	b.out.Add("replayed", float64(back.Devices.New), "")
	r := b.out.Add("CPU a message, the connect included", cpu(from, to, back.Devices.New), "µs")
	b.called(r, "replay of %d messages to each of %s returning devices: CPU a message, the connect included", b.p.Messages, report.Whole(int64(b.p.Streams)))
	if b.plain() && b.p.Messages == 20 {
		r.AtMostOf(6)
	}
	b.out.Add("messages a second", float64(back.Devices.New)/back.Took.Seconds(), "/s")
	b.out.Add("until all had all", back.Took.Seconds(), "s")
	b.out.AddTimes("open", &back.Devices.Open)
	for i := range b.out.Rows {
		b.inStoreTable(&b.out.Rows[i], fmt.Sprintf(" replay of %d messages to each of %s returning devices", b.p.Messages, report.Whole(int64(b.p.Streams))))
	}
	b.load(back)
	b.ended(back)
	return b.verify(ctx)
}

// storm cuts all streams at once, and lets them come back at once.
func (b *bench) storm(ctx context.Context) error {
	if _, err := b.open(ctx); err != nil {
		return err
	}
	if _, err := b.do(ctx, workers.Order{Verb: workers.Hold, For: b.p.For}); err != nil {
		return err
	}
	from := b.usage()
	out, err := b.do(ctx, workers.Order{Verb: workers.Storm, Wait: b.p.Wait})
	if err != nil {
		return err
	}
	to := b.usage()
	back := &out.Devices.Back
	b.out.About = fmt.Sprintf("%d streams over %s cut at once, and back at once", b.p.Streams, b.p.Transport)
	r := b.out.Add("until 99 % had a stream and a message", back.At(99).Seconds(), "s")
	b.called(r, "%s streams cut at once and back: until 99 %% have a live stream and a message", report.Whole(int64(b.p.Streams)))
	if b.p.Streams == 15000 && b.plain() {
		r.AtMostOf(1).Where(0.77)
	}
	b.out.Add("until half had", back.At(50).Seconds(), "s")
	b.out.Add("until all had", back.Max().Seconds(), "s")
	b.out.Add("back", float64(back.Count()), "")
	b.out.Add("CPU a stream", cpu(from, to, int64(b.p.Streams)), "µs")
	b.out.Add("CPU", seconds(from, to), "s")
	b.refusals(out)
	b.load(out)
	b.ended(out)
	return b.verify(ctx)
}

// churn lets devices come and go under load, for a minute or for days.
func (b *bench) churn(ctx context.Context) error {
	if _, err := b.open(ctx); err != nil {
		return err
	}
	o := workers.Order{Verb: workers.Push, Rate: b.p.Rate, Wait: b.p.Wait, Churn: b.coming()}
	if b.p.Warm > 0 {
		if o.For = b.p.Warm; b.p.Scenario == "soak" {
			if _, err := b.do(ctx, o); err != nil {
				return err
			}
		}
	}
	from, said := b.usage(), b.metrics()
	o.For = b.p.For
	out, err := b.do(ctx, o)
	if err != nil {
		return err
	}
	to := b.usage()
	b.out.About = fmt.Sprintf("%d devices over %s that live for %v and are away for %v, %s messages/s, for %v", b.p.Streams, b.p.Transport, b.p.Life, b.p.Away, report.Number(b.p.Rate), b.p.For)
	b.out.Add("streams opened", float64(out.Devices.Opened), "")
	b.messages(out, from, to)
	b.out.AddTimes("open", &out.Devices.Open)
	b.out.AddTimes("gap", &out.Devices.Gap)
	b.spread(out)
	b.ended(out)
	b.load(out)
	b.grown(from, to)
	if later := b.metrics(); said != nil && later != nil {
		b.out.Add("goroutines at the begin", float64(said.Goroutines), "")
		b.out.Add("goroutines at the end", float64(later.Goroutines), "")
		b.out.Add("Go heap at the begin", float64(said.Heap)/1e6, "MB")
		b.out.Add("Go heap at the end", float64(later.Heap)/1e6, "MB")
	}
	if b.p.Scenario == "soak" && from != nil {
		b.drift(from.At, from.At.Add(b.p.For))
	}
	if out.Live < b.p.Streams {
		b.note("%d of %d devices were not back at the end", b.p.Streams-out.Live, b.p.Streams)
	}
	return b.verify(ctx)
}
