package scenario

import (
	"cmp"
	"fmt"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/slow"
)

// What BUDGET.md asks of a slow link.
const (
	slowWorst = 1000 // ms, of a high message
	slowGap   = 7000 // ms without a byte
	slowUsed  = 85   // percent of the link
	slowHigh  = 256  // bytes of a high message's payload
)

// rows are the figures, with their budget.
func (s *slowBench) rows(bytes int64, took time.Duration, cpu float64, before, after slow.Stats) {
	out := s.out
	out.About = fmt.Sprintf("a device over %s on a link of %v; %d KiB of low messages of %d bytes pending, a high one every %v, for %v",
		s.p.Transport, s.p.Link, s.p.Pending>>10, s.p.Payload, s.interval().Round(time.Millisecond), s.p.For)
	worst := out.Add("high message, publish to receive, worst", ms(s.high.Max()), "ms")
	if s.judged() {
		worst.AtMostOf(slowWorst)
	}
	out.Add("high message p50", ms(s.high.At(50)), "ms")
	out.Add("high message p99", ms(s.high.At(99)), "ms")
	out.Add("high messages", float64(s.high.Count()), "")
	gap := out.Add("longest gap between bytes", ms(s.gap.Max()), "ms")
	if s.p.Transport != string(wire.Poll) {
		gap.AtMostOf(slowGap)
	}
	used := 8 * float64(bytes) / took.Seconds() / (1000 * float64(s.p.Link.RateKbit)) * 100
	row := out.Add("link used by what the device read", used, "%")
	if s.judged() {
		row.AtLeast(slowUsed)
	}
	out.Add("read by the device", float64(bytes)*8/took.Seconds()/1000, "kbit/s")
	out.Add("held by the server's kernel, p50", float64(s.held.At(50).Microseconds())/1000, "KB")
	out.Add("held by the server's kernel, most", float64(s.held.Max().Microseconds())/1000, "KB")
	out.Add("longest wait in the link's queue", ms(after.LongestInTheLink), "ms")
	out.Add("packets dropped for want of room", float64(after.Dropped-before.Dropped), "")
	if s.p.Link.Loss > 0 {
		out.Add("packets lost at random", float64(after.Lost-before.Lost), "")
	}
	out.Add("server's CPU", cpu, "%")
	out.Bars = s.high.Bars()
}

// judged reports whether the budget applies to this link and these messages. A long-poll's answer cannot be overtaken.
func (s *slowBench) judged() bool {
	return s.p.Link == slow.Default() && s.p.Pending <= 1<<20 && s.p.Payload <= 16<<10 && s.p.Transport != string(wire.Poll)
}

// completeSlow fills in the defaults of slow.
func (p *Params) completeSlow() error {
	d := slow.Default()
	p.Link.RateKbit, p.Link.RTT = cmp.Or(p.Link.RateKbit, d.RateKbit), cmp.Or(p.Link.RTT, d.RTT)
	p.Link.QueueBytes, p.Link.Seed = cmp.Or(p.Link.QueueBytes, d.QueueBytes), cmp.Or(p.Link.Seed, d.Seed)
	p.Pending = cmp.Or(p.Pending, 1<<20)
	switch {
	case !wire.Transport(p.Transport).Valid():
		return fmt.Errorf("scenario: check slow: transport is %q: use one of ws, ws-json, sse, grpc, poll", p.Transport)
	case p.Streams != 1 || p.Devices != 1:
		return fmt.Errorf("scenario: check slow: %d streams: the link has one device: use 1", p.Streams)
	case p.Payload < slowLeast || p.Payload > 64<<10:
		return fmt.Errorf("scenario: check slow: payload is %d bytes: use %d to 65536", p.Payload, slowLeast)
	case p.Pending < p.Payload || p.Pending > 32<<20 || p.Pending/p.Payload > 5000:
		return fmt.Errorf("scenario: check slow: %d bytes pending in payloads of %d: use up to 32 MiB and 5,000 messages, half a mailbox", p.Pending, p.Payload)
	}
	if err := p.Link.Validate(); err != nil {
		return fmt.Errorf("scenario: check slow: %w", err)
	}
	return nil
}
