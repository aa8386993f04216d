package redis

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/internal/tool/promset"
)

type metrics struct {
	seconds        [kinds]prometheus.Observer
	errors         map[string]prometheus.Counter
	pipelineCalls  prometheus.Histogram
	identityLost   prometheus.Counter
	identityUnread prometheus.Counter
	inFlight       atomic.Int64
	inFlightBytes  atomic.Int64

	all promset.Set
}

// newMetrics makes and registers; a nil registerer registers nowhere.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{errors: make(map[string]prometheus.Counter, len(allReasons))}
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ramen_store_redis_call_seconds", Help: "Time of a call for one user or shard, from when it was made until it was answered.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 16),
	}, []string{"call"})
	for i := range m.seconds {
		m.seconds[i] = seconds.WithLabelValues(kindNames[i])
	}
	errors := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_store_redis_errors_total", Help: "Attempts of calls that failed, by reason; some were tried again.",
	}, []string{"reason"})
	for _, r := range allReasons {
		m.errors[r] = errors.WithLabelValues(r)
	}
	m.pipelineCalls = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ramen_store_redis_pipeline_calls", Help: "Calls that shared a pipeline.", Buckets: prometheus.ExponentialBuckets(1, 2, 7),
	})
	m.identityLost = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_store_redis_identity_lost_total", Help: "Times that the servers had lost the store's identity, and it was written back.",
	})
	m.identityUnread = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_store_redis_identity_unread_total", Help: "Claims behind which the store's identity could not be looked at, since its server did not answer.",
	})
	gauge := func(name, help string, v *atomic.Int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(v.Load()) })
	}
	m.all = promset.Set{seconds, errors, m.pipelineCalls, m.identityLost, m.identityUnread,
		gauge("ramen_store_redis_in_flight", "Calls that wait for a server or are under way.", &m.inFlight),
		gauge("ramen_store_redis_in_flight_bytes", "Size of the calls that wait for a server or are under way.", &m.inFlightBytes),
	}
	if err := m.all.Register(reg); err != nil {
		return m, fmt.Errorf("store/redis: register metrics: %w", err)
	}
	return m, nil
}
