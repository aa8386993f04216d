package pebble

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/internal/tool/promset"
	"ramen/protocol"
)

type metrics struct {
	commit           prometheus.Histogram
	groupCalls       prometheus.Histogram
	checkpoint       prometheus.Histogram
	overdue          prometheus.Counter
	refused          [protocol.Lanes]prometheus.Counter
	backgroundErrors prometheus.Counter
	diskSlow         prometheus.Counter
	stalls           prometheus.Counter
	free             prometheus.GaugeFunc
	disk             prometheus.GaugeFunc
	journal          prometheus.GaugeFunc
	overlay          prometheus.GaugeFunc

	all promset.Set
}

// gauges are asked at each scrape.
type gauges struct{ free, disk, journal, overlay func() float64 }

// newMetrics makes and registers; a nil registerer registers nowhere.
func newMetrics(reg prometheus.Registerer, ask gauges) (*metrics, error) {
	m := &metrics{}
	m.commit = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ramen_store_commit_seconds", Help: "Time of a durable group commit, its fsync included.",
		Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
	})
	m.groupCalls = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ramen_store_commit_calls", Help: "Calls that shared a group commit.",
		Buckets: prometheus.ExponentialBuckets(1, 2, 12),
	})
	m.checkpoint = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ramen_store_checkpoint_seconds", Help: "Time of a checkpoint, which writes the live part of a journal segment to tables.",
		Buckets: prometheus.ExponentialBuckets(1e-3, 2, 16),
	})
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	m.overdue = counter("ramen_store_unknown_total", "Calls that reached their deadline while their write continued, so that its outcome was unknown.")
	m.backgroundErrors = counter("ramen_store_background_errors_total", "Failed flushes and compactions, and damaged files found.")
	m.diskSlow = counter("ramen_store_disk_slow_total", "File operations that took over 5 s.")
	m.stalls = counter("ramen_store_stalls_total", "Times that a checkpoint waited for a flush or compaction.")
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_store_refused_total", Help: "Messages refused because the disk is nearly full.",
	}, []string{"priority"})
	for i := range m.refused {
		m.refused[i] = refused.WithLabelValues(protocol.LanePriority(i).String())
	}
	m.free = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ramen_store_free_bytes", Help: "Free space of the store's disk at the last check.",
	}, ask.free)
	m.disk = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ramen_store_disk_bytes", Help: "Size of the store's files.",
	}, ask.disk)
	m.journal = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ramen_store_journal_bytes", Help: "Size of the journal's files, including unused ones.",
	}, ask.journal)
	m.overlay = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "ramen_store_recent_bytes", Help: "Memory of data that is in the journal and not yet in tables.",
	}, ask.overlay)
	m.all = append(m.all, m.commit, m.groupCalls, m.checkpoint, refused, m.free, m.disk, m.journal, m.overlay)
	if err := m.all.Register(reg); err != nil {
		return m, fmt.Errorf("store/pebble: register metrics: %w", err)
	}
	return m, nil
}
