package linkgrpc

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// The ends of links, as labels.
const (
	frontendSide = "frontend"
	gatewaySide  = "gateway"
)

// metrics are those of all links of one end.
type metrics struct {
	up         *count
	streams    *count
	batches    [2]prometheus.Counter
	bytes      [2]prometheus.Counter
	frames     [2]prometheus.Counter
	connects   *prometheus.CounterVec
	ends       *prometheus.CounterVec
	lost       prometheus.Counter
	dropped    prometheus.Counter
	stalls     prometheus.Counter
	calls      *count
	callBytes  *count
	collectors []prometheus.Collector
}

// The two directions, as indexes and labels.
const (
	directionIn  = 0
	directionOut = 1
)

var directions = [2]string{"in", "out"}

// held is what the links of one end hold.
type held struct{ queued, credit func() float64 }

// count is a gauge that can be read again.
type count struct{ atomic.Int64 }

func (c *count) Inc() { c.Add(1) }
func (c *count) Dec() { c.Add(-1) }

func newMetrics(side string, held held) *metrics {
	m := new(metrics)
	constant := prometheus.Labels{"side": side}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: constant})
		m.collectors = append(m.collectors, c)
		return c
	}
	gauge := func(name, help string, is func() float64) {
		m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: constant}, is))
	}
	counted := func(name, help string) *count {
		c := new(count)
		gauge(name, help, func() float64 { return float64(c.Load()) })
		return c
	}
	both := func(name, help string) (pair [2]prometheus.Counter) {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: constant}, []string{"direction"})
		m.collectors = append(m.collectors, c)
		for i, d := range directions {
			pair[i] = c.WithLabelValues(d)
		}
		return pair
	}
	closed := func(name, help string, reasons []string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: constant}, []string{"reason"})
		m.collectors = append(m.collectors, c)
		for _, r := range reasons {
			c.WithLabelValues(r)
		}
		return c
	}
	m.up = counted("ramen_link_up", "Links between frontends and gateways that stand, seen from this side.")
	m.streams = counted("ramen_link_streams", "Device streams that are open over links.")
	m.batches = both("ramen_link_batches_total", "Messages of gRPC that carried frames; each has what was waiting when it was sent.")
	m.frames = both("ramen_link_frames_total", "Frames of streams and calls, heartbeats included.")
	m.bytes = both("ramen_link_bytes_total", "Bytes of batches, without gRPC's own.")
	m.connects = closed("ramen_link_connects_total", "Attempts to make a link, by outcome: ok, failed (no connection, or no answer), refused (the peer is another member, or of an unknown version or secret).", connectOutcomes)
	m.ends = closed("ramen_link_ends_total", "Links that have ended, by reason.", endReasons)
	m.lost = counter("ramen_link_lost_streams_total", "Device streams that were lost because their link ended.")
	m.dropped = counter("ramen_link_dropped_frames_total", "Frames that came for a stream or a call that had ended.")
	m.stalls = counter("ramen_link_credit_withheld_total", "Times that a stream's credit was kept back because too much was waiting on its link.")
	m.calls = counted("ramen_link_calls", "Calls under way over links: publishes, opens, lists and the rest.")
	m.callBytes = counted("ramen_link_call_bytes", "Bytes of the calls under way over links.")
	gauge("ramen_link_queued_bytes", "Bytes that wait to be sent on links, or are being sent.", held.queued)
	gauge("ramen_link_credit_bytes", "Bytes of credit that gateways have been given for the streams of links, and have not used.", held.credit)
	return m
}

// The outcomes of an attempt to make a link.
const (
	connectOK      = "ok"
	connectFailed  = "failed"
	connectRefused = "refused"
)

var connectOutcomes = []string{connectOK, connectFailed, connectRefused}

// Why links end.
const (
	endClosed   = "closed"   // by this side, in order
	endDrain    = "drain"    // the gateway said before that it drains
	endBroken   = "broken"   // the connection, or the peer's process
	endSilent   = "silent"   // nothing came
	endStalled  = "stalled"  // nothing was taken
	endOverflow = "overflow" // too little was taken
	endReplaced = "replaced" // by a newer link of the same frontend
	endInvalid  = "invalid"  // the peer sent what no peer sends
)

var endReasons = []string{endClosed, endDrain, endBroken, endSilent, endStalled, endOverflow, endReplaced, endInvalid}

func (m *metrics) sent(bytes, frames int) {
	m.frames[directionOut].Add(float64(frames))
	m.batches[directionOut].Inc()
	m.bytes[directionOut].Add(float64(bytes))
}

func (m *metrics) received(bytes, frames int) {
	m.batches[directionIn].Inc()
	m.bytes[directionIn].Add(float64(bytes))
	m.frames[directionIn].Add(float64(frames))
}
