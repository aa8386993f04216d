package scenario

import (
	"context"
	"fmt"
	"time"

	"ramen/loadtest/report"
	"ramen/loadtest/stats"
	"ramen/loadtest/workers"
)

// push publishes at a rate.
func (b *bench) push(ctx context.Context) error {
	if _, err := b.open(ctx); err != nil {
		return err
	}
	if _, err := b.do(ctx, workers.Order{Verb: workers.Push, Rate: b.p.Rate, For: b.p.Warm, Wait: b.p.Wait}); err != nil {
		return err
	}
	commits := b.commits()
	if b.cfg.Measuring != nil {
		b.cfg.Measuring()
	}
	from, store := b.usage(), b.storeUsage()
	out, err := b.do(ctx, workers.Order{Verb: workers.Push, Rate: b.p.Rate, For: b.p.For, Wait: b.p.Wait})
	if err != nil {
		return err
	}
	to := b.usage()
	b.ofStore("a message", store, out.Published.Accepted)
	commits = b.commits() - commits
	b.out.About = fmt.Sprintf("%s messages/s of %d bytes to %d users with %d devices over %s, for %v", report.Number(b.p.Rate), b.p.Payload, b.p.users(), b.p.Devices, b.p.Transport, b.p.For)
	b.messages(out, from, to)
	b.durable(out, commits)
	b.inTable()
	b.spread(out)
	b.load(out)
	b.ended(out)
	return b.verify(ctx)
}

// messages are the figures of publishes and pushes.
func (b *bench) messages(out *workers.Outcome, from, to *stats.Usage) {
	b.out.Add("accepted", float64(out.Published.Accepted), "")
	b.out.Add("pushed", float64(out.Devices.New), "")
	b.out.Add("pushed a second", float64(out.Devices.New)/out.Took.Seconds(), "/s")
	if out.Devices.Again > 0 {
		b.out.Add("redelivered", float64(out.Devices.Again), "")
	}
	r := b.out.Add("CPU a message, publish to ack", cpu(from, to, out.Published.Accepted), "µs")
	if b.p.Scenario == "push" && b.p.Rate == 20000 && b.p.Streams == 5000 && b.p.Transport == "ws" && b.plain() {
		r.AtMostOf(20).Where(11.6)
	}
	b.ofEach("CPU a message", from, to, out.Published.Accepted)
	b.out.Add("of it in the kernel", kernel(from, to, out.Published.Accepted), "µs")
	b.out.Add("server's CPU", share(from, to), "%")
	b.out.Add("acks", float64(out.Devices.Acks), "")
	if from != nil && to != nil && to.Written > from.Written && out.Published.Accepted > 0 {
		b.out.Add("written to disk a message", float64(to.Written-from.Written)/float64(out.Published.Accepted), "bytes")
	}
	b.out.AddTimes("publish to push", &out.Devices.Latency)
	b.out.AddTimes("publish to push, the longest of each stream", &out.Devices.Worst)
	b.out.Pauses = &out.Devices.Worst
	if out.Devices.Return.Count() > 0 {
		b.out.Returns = &out.Devices.Return
		b.out.Add("streams that ended and came back", float64(out.Devices.Return.Count()), "")
		b.out.AddTimes("from a stream's end to the next hello", &out.Devices.Return)
	}
	if out.Devices.Bytes > 0 && out.Devices.Pushes > 0 {
		b.out.Add("read by devices a message", float64(out.Devices.Bytes)/float64(out.Devices.Pushes), "bytes")
	}
	b.out.AddTimes("publish to accepted", &out.Published.Answer)
	b.refusals(out)
}

// inTable names the rows of push that are in the table of a run, and sets their budgets.
func (b *bench) inTable() {
	budgeted := b.p.Rate == 10000 && b.p.Streams == 5000
	at := fmt.Sprintf(" at %s/s to %s users", report.Number(b.p.Rate), report.Whole(int64(b.p.users())))
	for i := range b.out.Rows {
		switch r := &b.out.Rows[i]; r.Name {
		case "CPU a message, publish to ack":
			b.called(r, "CPU a message, publish to ack,%s", at)
		case "publish to push p99":
			b.called(r, "p99 publish to receive%s", at)
			if budgeted && b.plain() {
				r.AtMostOf(2).Where(3.5)
			}
		case "publish to push p99.9":
			if budgeted {
				b.called(r, "p99.9 publish to receive%s", at)
			}
			if budgeted && b.plain() {
				r.AtMostOf(10)
			}
		case "messages a fsync":
			b.called(r, "messages that share a fsync%s", at)
		case "store's CPU a message":
			b.inStoreTable(r, at)
		case "read by devices a message":
			if b.p.Deflate {
				b.called(r, "bytes that a device reads a message")
			}
		}
	}
}

// commits is how many durable writes the server made; 0: not known.
func (b *bench) commits() int64 {
	if u := b.metrics(); u != nil {
		return u.Commits
	}
	return 0
}

// durable adds how many fsyncs the messages took.
func (b *bench) durable(out *workers.Outcome, commits int64) {
	if commits <= 0 {
		return
	}
	b.out.Add("fsyncs a second", float64(commits)/out.Took.Seconds(), "/s")
	b.out.Add("messages a fsync", float64(out.Published.Accepted)/float64(commits), "")
}

// refusals notes what was not accepted.
func (b *bench) refusals(out *workers.Outcome) {
	if late := out.Published.Due - out.Published.Sent; late > 0 {
		b.note("%d of %d messages were not sent in time", late, out.Published.Due)
	}
	if len(out.Published.Refused) > 0 {
		b.note("publishes were refused: %s", ends(out.Published.Refused))
	}
	if out.Published.Unknown > 0 {
		b.note("%d publishes had no answer: whether they were accepted is unknown", out.Published.Unknown)
	}
	if out.Published.Retried > 0 {
		b.note("%d publishes without an answer were tried again, with the same id", out.Published.Retried)
	}
}

// spread adds the distribution of latencies, and their course over time.
func (b *bench) spread(out *workers.Outcome) {
	b.out.Bars = out.Devices.Latency.Bars()
	if out.Devices.Over != nil {
		b.out.Latency = out.Devices.Over.List()
	}
}

const (
	mostSteps = 14   // of a search
	fineness  = 1.08 // where a search ends: between what passed and what did not
	growth    = 1.5  // while nothing has failed
	stepPause = time.Second
)

// max searches the most messages a second.
func (b *bench) max(ctx context.Context) error {
	if _, err := b.open(ctx); err != nil {
		return err
	}
	if _, err := b.do(ctx, workers.Order{Verb: workers.Push, Rate: b.p.Rate / 2, For: b.p.Warm, Wait: b.p.Wait}); err != nil {
		return err
	}
	passed, failed, rate := 0.0, 0.0, b.p.Rate
	for range mostSteps {
		s, out, err := b.step(ctx, rate)
		if err == nil && !s.Passed { // try again: another process may have disturbed it
			b.out.Steps = append(b.out.Steps, s)
			s, out, err = b.step(ctx, rate)
		}
		if err != nil {
			return err
		}
		b.out.Steps = append(b.out.Steps, s)
		if s.Passed {
			passed = rate
			b.spread(out)
		} else {
			failed = rate
		}
		switch {
		case failed == 0:
			rate *= growth
		case passed == 0:
			rate /= 2
		default:
			rate = (passed + failed) / 2
		}
		if passed > 0 && failed > 0 && failed/passed < fineness || rate < 1 {
			break
		}
	}
	b.out.About = fmt.Sprintf("most messages/s of %d bytes to %d users over %s, p99 within %v", b.p.Payload, b.p.users(), b.p.Transport, b.p.P99)
	r := b.out.Add("most messages a second", passed, "/s")
	b.called(r, "most messages a second, p99 under %v", b.p.P99)
	if b.p.P99 == 200*time.Millisecond && b.p.Streams == 5000 && b.plain() {
		r.AtLeast(60000).Where(166000)
	}
	for _, s := range b.out.Steps {
		if s.Rate == passed && s.Passed {
			b.out.Add("CPU a message there", s.CPU, "µs")
			b.out.Add("p99 there", float64(s.P99)/1e6, "ms")
			b.out.Add("load's CPU there", s.Busy, "%")
			b.overloaded(" there", s.Busy)
		}
	}
	return b.verify(ctx)
}

// step publishes at a rate. It passes when everything was sent, accepted and pushed within the p99.
func (b *bench) step(ctx context.Context, rate float64) (report.Step, *workers.Outcome, error) {
	from := b.usage()
	out, err := b.do(ctx, workers.Order{Verb: workers.Push, Rate: rate, For: b.p.For, Wait: b.p.Wait})
	if err != nil {
		return report.Step{}, nil, err
	}
	to := b.usage()
	s := report.Step{Rate: rate, Busy: b.busy, P50: out.Devices.Latency.At(50), P99: out.Devices.Latency.At(99)}
	if c := cpu(from, to, out.Published.Accepted); c > 0 {
		s.CPU = c
	}
	s.Passed = s.P99 <= b.p.P99 && float64(out.Published.Accepted) >= 0.999*float64(out.Published.Due) && out.Missing == 0
	_, err = b.do(ctx, workers.Order{Verb: workers.Hold, For: stepPause})
	return s, out, err
}
