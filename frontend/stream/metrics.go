package stream

import (
	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
)

// transports are those that a stream may have, in the order of their numbers.
var transports = [...]protocol.Transport{protocol.TransportSSE, protocol.TransportWS, protocol.TransportGRPC, protocol.TransportPoll}

const (
	transportCount = len(transports) + 1
	priorityCount  = protocol.Lanes + 1
	answered       = "answered" // the label of a poll's ordinary end
)

// metrics are what is counted of streams. All labels are made at start; the arrays are by Transport and Priority.
type metrics struct {
	streams    [transportCount]prometheus.Gauge
	opens      [transportCount]prometheus.Counter
	resumed    [transportCount]prometheus.Counter
	ends       [transportCount]map[protocol.Reason]prometheus.Counter
	pushes     [transportCount]prometheus.Counter
	bytes      [transportCount]prometheus.Counter
	acks       [transportCount]prometheus.Counter
	heartbeats [transportCount]prometheus.Counter
	late       prometheus.Histogram
	toPush     [priorityCount]prometheus.Observer
	toAck      [priorityCount]prometheus.Observer
	detached   [detachCauses]prometheus.Counter // none at notDetached
	reopens    map[string]prometheus.Counter
}

// detachLabels are the reasons of ramen_frontend_detached_total.
var detachLabels = [detachCauses]string{
	detachedByView: "view", lostByRebalance: "rebalance", lostByDrain: "drain", lostAsUnreachable: "unavailable", lostUnexplained: "unknown",
}

var latencyBuckets = []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10, 30, 60, 300}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	streams := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ramen_frontend_streams", Help: "Open streams of devices."}, []string{"transport"})
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	opens := counter("ramen_frontend_opens_total", "Streams opened.", "transport")
	resumed := counter("ramen_frontend_resumes_total", "Streams opened that resumed at the device's cursor.", "transport")
	ends := counter("ramen_frontend_ends_total", "Streams ended, by reason.", "transport", "reason")
	pushes := counter("ramen_frontend_pushes_total", "Pushes written to sockets, or buffered for them.", "transport")
	bytes := counter("ramen_frontend_pushed_bytes_total", "Bytes of pushes as written by the transport, before TLS; includes a hello sent in the same write.", "transport")
	acks := counter("ramen_frontend_acks_total", "Pushes acked.", "transport")
	heartbeats := counter("ramen_frontend_heartbeats_total", "Heartbeats written.", "transport")
	detached := counter("ramen_frontend_detached_total", "Live streams that lost their gateway and look for another, by reason.", "reason")
	reopens := counter("ramen_frontend_reopens_total", "Streams reopened because their gateway was lost, by result.", "result")
	late := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ramen_frontend_heartbeat_lateness_seconds", Help: "Delay of a heartbeat beyond its interval.", Buckets: latencyBuckets,
	})
	toPush := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ramen_frontend_publish_to_push_seconds", Help: "Time from a message's acceptance to its push, including the time it waited for the device.", Buckets: latencyBuckets,
	}, []string{"priority"})
	toAck := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ramen_frontend_push_to_ack_seconds", Help: "Time from a push to its ack.", Buckets: latencyBuckets,
	}, []string{"priority"})

	m := &metrics{late: late, reopens: map[string]prometheus.Counter{}}
	for _, t := range transports {
		label := t.String()
		m.streams[t] = streams.WithLabelValues(label)
		m.opens[t] = opens.WithLabelValues(label)
		m.resumed[t] = resumed.WithLabelValues(label)
		m.pushes[t] = pushes.WithLabelValues(label)
		m.bytes[t] = bytes.WithLabelValues(label)
		m.acks[t] = acks.WithLabelValues(label)
		m.heartbeats[t] = heartbeats.WithLabelValues(label)
		m.ends[t] = map[protocol.Reason]prometheus.Counter{protocol.ReasonNone: ends.WithLabelValues(label, answered)}
		for _, reason := range protocol.Reasons() {
			m.ends[t][reason] = ends.WithLabelValues(label, reason.String())
		}
	}
	for lane := range protocol.Lanes {
		p := protocol.LanePriority(lane)
		m.toPush[p] = toPush.WithLabelValues(p.String())
		m.toAck[p] = toAck.WithLabelValues(p.String())
	}
	for cause := detachedByView; cause < detachCauses; cause++ {
		m.detached[cause] = detached.WithLabelValues(detachLabels[cause])
	}
	for _, result := range []string{"ok", "unavailable", "superseded", "refused"} {
		m.reopens[result] = reopens.WithLabelValues(result)
	}
	for _, c := range []prometheus.Collector{streams, opens, resumed, ends, pushes, bytes, acks, heartbeats, detached, reopens, late, toPush, toAck} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// pushed counts a batch of n bytes.
func (m *metrics) pushed(t protocol.Transport, batch []protocol.Push, n int, unixMS int64) {
	m.pushes[t].Add(float64(len(batch)))
	m.bytes[t].Add(float64(n))
	for i := range batch {
		msg := batch[i].Message
		if o := m.toPush[msg.Priority]; o != nil {
			o.Observe(max(0, float64(unixMS-msg.CreatedMS)/1000))
		}
	}
}

// acked counts one push that was acked after ms.
func (m *metrics) acked(p protocol.Priority, ms uint32) {
	if o := m.toAck[p]; o != nil {
		o.Observe(float64(ms) / 1000)
	}
}

// reasonLabel is the label of an end.
func reasonLabel(r protocol.Reason) string {
	if r == protocol.ReasonNone {
		return answered
	}
	return r.String()
}
