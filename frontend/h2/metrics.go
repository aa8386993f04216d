package h2

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// reason is why a connection was ended by its guard.
type reason uint8

const (
	fine reason = iota
	manyCalls
	manyResets
	manyNothings
	manyBytes
	slowMessage
	manyUnknown
	reasonCount
)

// reasons are the labels of metrics, and what the peer is told in GOAWAY.
var reasons = [reasonCount]struct{ label, text string }{
	manyCalls:    {"calls", "too many calls opened in a second"},
	manyResets:   {"resets", "too many calls reset in a second"},
	manyNothings: {"empty_frames", "too many frames that carry nothing"},
	manyBytes:    {"unfinished_bytes", "too many bytes of incomplete messages; this connection had the oldest"},
	slowMessage:  {"slow_message", "a message arrived too slowly"},
	manyUnknown:  {"unknown_connections", "too many connections without a good token: this was the oldest"},
}

func (r reason) text() string { return reasons[r].text }

// Why a wait was ended.
const (
	dropped = iota // there were too many, and it was the oldest
	late
	ofWaits
)

type metrics struct {
	ended   [reasonCount]prometheus.Counter
	refused prometheus.Counter
	waits   [ofWaits]prometheus.Counter
	all     []prometheus.Collector
}

func newMetrics(port string) *metrics {
	labels := prometheus.Labels{"port": port}
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_h2_connections_ended_total", Help: "gRPC connections ended because they asked for too much, by what they asked for.", ConstLabels: labels,
	}, []string{"reason"})
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_h2_calls_ended_total", Help: "gRPC calls refused or ended: too many on a connection without a valid token or key (unknown_connection), too many calls waiting for their first message (waits), or a first message that did not come in time (late).", ConstLabels: labels,
	}, []string{"reason"})
	m := &metrics{refused: refused.WithLabelValues("unknown_connection")}
	m.waits[dropped], m.waits[late] = refused.WithLabelValues("waits"), refused.WithLabelValues("late")
	for r := manyCalls; r < reasonCount; r++ {
		m.ended[r] = ended.WithLabelValues(reasons[r].label)
	}
	m.all = []prometheus.Collector{ended, refused}
	return m
}

func (m *metrics) register(reg prometheus.Registerer, g *Guard) error {
	if reg == nil {
		return nil
	}
	labels := prometheus.Labels{"port": g.port.Name}
	all := append(m.all,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ramen_h2_unknown_connections", Help: "gRPC connections that have not shown a valid token or key yet.", ConstLabels: labels},
			func() float64 { return float64(g.unknownConnections()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ramen_h2_unfinished_bytes", Help: "Bytes of incomplete gRPC messages.", ConstLabels: labels},
			func() float64 { return float64(g.bytes.Load()) }))
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("frontend/h2: register metrics: %w", err)
		}
	}
	return nil
}
