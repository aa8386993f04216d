package cassandra

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/internal/tool/promset"
)

// callKind is a call, as metrics name it.
type callKind uint8

const (
	callAppend callKind = iota
	callLoad
	callSave
	callForget
	callClaim
	callClaims
	callRenew
	callMarks
	callMark
	calls
)

var callNames = [calls]string{"append", "load", "save_devices", "forget", "claim", "claims", "renew", "cache_marks", "set_cache_mark"}

type metrics struct {
	seconds [calls]prometheus.Observer
	failed  [calls]prometheus.Counter
	errors  [reasons]prometheus.Counter
	hedged  prometheus.Counter

	registerer prometheus.Registerer
	all        promset.Set
}

// newMetrics makes metrics that nobody sees before register.
func newMetrics(s *Store) *metrics {
	m := new(metrics)
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ramen_store_cassandra_call_seconds", Help: "Time of a call for one user (claim and claims: for a partition of shards).",
		Buckets: prometheus.ExponentialBuckets(250e-6, 2, 15),
	}, []string{"call"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_store_cassandra_failed_total", Help: "Calls that have failed, or whose outcome is unknown.",
	}, []string{"call"})
	for i, name := range callNames {
		m.seconds[i], m.failed[i] = seconds.WithLabelValues(name), failed.WithLabelValues(name)
	}
	errors := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_store_cassandra_errors_total", Help: "Requests that have failed, by the reason; a call asks up to three hosts.",
	}, []string{"reason"})
	for i, name := range reasonNames {
		m.errors[i] = errors.WithLabelValues(name)
	}
	m.hedged = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_store_cassandra_hedged_total", Help: "Reads for which a further host was asked because the one before was slow.",
	})
	inFlight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ramen_store_cassandra_in_flight", Help: "Appends under way.",
	}, func() float64 { return float64(s.gate.calls.Load()) })
	inFlightBytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ramen_store_cassandra_in_flight_bytes", Help: "Size of the appends under way.",
	}, func() float64 { return float64(s.gate.bytes.Load()) })
	m.all = promset.Set{seconds, failed, errors, m.hedged, inFlight, inFlightBytes, breakerCollector{s}}
	return m
}

// register shows the metrics at reg until Close. Reads that were hedged may be under way meanwhile.
func (m *metrics) register(reg prometheus.Registerer) error {
	if err := m.all.Register(reg); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	m.registerer = reg
	return nil
}

// observe notes how a call has ended.
func (m *metrics) observe(c callKind, began time.Time, err error) {
	m.seconds[c].Observe(time.Since(began).Seconds())
	if err != nil {
		m.failed[c].Inc()
	}
}

// breakerCollector says of each host whether it is passed over.
type breakerCollector struct{ s *Store }

var breakerOpen = prometheus.NewDesc("ramen_store_cassandra_breaker_open",
	"1 while requests are kept from the host because it does not answer.", []string{"host"}, nil)

// Describe implements prometheus.Collector.
func (c breakerCollector) Describe(to chan<- *prometheus.Desc) { to <- breakerOpen }

// Collect implements prometheus.Collector.
func (c breakerCollector) Collect(to chan<- prometheus.Metric) {
	if c.s.session == nil {
		return
	}
	for _, h := range c.s.session.GetHosts() {
		if !c.s.policyKnows(h) {
			continue
		}
		open := 0.0
		if c.s.breakers.host(h.HostID()).open() {
			open = 1
		}
		to <- prometheus.MustNewConstMetric(breakerOpen, prometheus.GaugeValue, open, h.ConnectAddress().String())
	}
}
