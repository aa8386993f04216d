package frontend

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what is counted of requests: package stream counts what happens to streams. All labels are made at start.
type metrics struct {
	pages      map[string]prometheus.Counter
	unfinished prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	pages := counter("ramen_frontend_page_refusals_total", "Requests of web pages that were kept out, by how: cors (served, but the page cannot read it), websocket and host (403).", "reason")
	unfinished := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ramen_frontend_unfinished_bytes", Help: "Bytes held of devices' WebSocket messages whose end has not come.",
	})
	m := &metrics{unfinished: unfinished, pages: map[string]prometheus.Counter{}}
	for _, reason := range keptReasons {
		m.pages[reason] = pages.WithLabelValues(reason)
	}
	for _, c := range []prometheus.Collector{pages, unfinished} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
