package gateway

import (
	"github.com/prometheus/client_golang/prometheus"

	"ramen/gateway/mailbox"
	"ramen/protocol"
)

// metrics are the gateway's. The ledger's and the gauges are read from where they are kept.
type metrics struct {
	append         prometheus.Histogram
	appendMessages prometheus.Histogram
	storeErrors    prometheus.Counter
	refused        [protocol.Lanes]prometheus.Counter
	turned         prometheus.Counter
	rewritten      prometheus.Counter
	lostMailboxes  [len(lostReasons)]prometheus.Counter
	shards         [states]prometheus.Gauge
	transitions    [states]prometheus.Counter
}

func newMetrics(r prometheus.Registerer, g *Gateway) *metrics {
	m := &metrics{
		append: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ramen_gateway_append_seconds", Help: "Time of one durable write to the store.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 2, 14),
		}),
		appendMessages: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "ramen_gateway_append_messages", Help: "Messages that shared one durable write.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 7),
		}),
		storeErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ramen_gateway_store_errors_total", Help: "Store calls that failed.",
		}),
		rewritten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ramen_gateway_rewritten_messages_total", Help: "Messages that the store had lost after it had answered, and that were written again from memory.",
		}),
		turned: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "ramen_gateway_users_refused_total", Help: "Calls refused because memory is full and their user or device is not in memory.",
		}),
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_gateway_refused_total", Help: "Publishes refused because memory or the store's disk is nearly full.",
	}, []string{"priority"})
	lost := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_gateway_lost_mailboxes_total", Help: "Users of whom the store was found to have lost what it had answered, and memory had it no longer (unloaded), or another process had owned them since (taken).",
	}, []string{"reason"})
	for i, reason := range lostReasons {
		m.lostMailboxes[i] = lost.WithLabelValues(reason)
	}
	waiting := func(i int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "ramen_gateway_lane_messages", Help: "Messages waiting in memory, by priority.",
			ConstLabels: prometheus.Labels{"priority": protocol.LanePriority(i).String()},
		}, func() float64 { return float64(g.common.Ledger.Waiting[i].Load()) })
	}
	shards := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ramen_gateway_shards", Help: "Shards, by where they stand in their life in this gateway.",
	}, []string{"state"})
	transitions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_gateway_shard_transitions_total", Help: "Transitions in the lives of shards, by the state that they led to.",
	}, []string{"state"})
	for i := range states {
		m.shards[i], m.transitions[i] = shards.WithLabelValues(i.String()), transitions.WithLabelValues(i.String())
	}
	m.shards[StateNone].Set(float64(len(g.shards)))
	all := []prometheus.Collector{m.append, m.appendMessages, m.storeErrors, m.turned, m.rewritten, lost, refused, shards, transitions}
	for i := range m.refused {
		m.refused[i] = refused.WithLabelValues(protocol.LanePriority(i).String())
		all = append(all, waiting(i))
	}
	if r != nil {
		r.MustRegister(append(all, g.collectors()...)...)
	}
	return m
}

// collectors are the ledger of SPEC 8, and the gauges.
func (g *Gateway) collectors() []prometheus.Collector {
	counter := func(name, help string, read func() uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "ramen_gateway_" + name, Help: help}, func() float64 { return float64(read()) })
	}
	gauge := func(name, help string, read func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ramen_gateway_" + name, Help: help}, func() float64 { return float64(read()) })
	}
	l := &g.common.Ledger
	return []prometheus.Collector{
		counter("messages_accepted_total", "Messages accepted: durable in the store.", l.Accepted.Load),
		counter("messages_loaded_total", "Messages that came back into memory from the store.", l.Loaded.Load),
		counter("messages_acked_total", "Messages acked by every known device that they were for.", l.Ended[mailbox.Acked].Load),
		counter("messages_expired_total", "Messages that expired.", l.Ended[mailbox.Expired].Load),
		counter("messages_collapsed_total", "Messages replaced by a newer one with their collapse key.", l.Ended[mailbox.Collapsed].Load),
		counter("messages_recalled_total", "Messages recalled by their publisher.", l.Ended[mailbox.Recalled].Load),
		counter("messages_unloaded_total", "Messages that left memory and wait in the store.", l.Unloaded.Load),
		gauge("messages_waiting", "Messages waiting in memory.", func() (n int64) {
			for i := range l.Waiting {
				n += l.Waiting[i].Load()
			}
			return n
		}),
		gauge("mailboxes", "Users in memory.", l.Mailboxes.Load),
		gauge("devices", "Known devices of the users in memory.", l.Devices.Load),
		gauge("streams", "Devices with a stream.", g.streams.Load),
		gauge("waiting_bytes", "Memory in bytes of users, waiting messages, remembered ids, devices and streams, with overhead; limited by gateway.memory_bytes.", l.Memory.Load),
		gauge("memory_limit_bytes", "The limit that is used for gateway.memory_bytes.", func() int64 { return g.cfg.MemoryBytes }),
	}
}
