package frontend

import (
	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
)

// metrics are what is counted of requests: package stream counts what happens to streams. All labels are made at start.
type metrics struct {
	refused    map[protocol.Code]prometheus.Counter
	pages      map[string]prometheus.Counter
	unfinished prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	refused := counter("ramen_frontend_refusals_total", "Streams and acks that were refused, by the code of the error.", "code")
	pages := counter("ramen_frontend_page_refusals_total", "Requests of web pages that were kept out, by how: cors (served, but the page cannot read it), websocket and host (403).", "reason")
	unfinished := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ramen_frontend_unfinished_bytes", Help: "Bytes held of devices' WebSocket messages whose end has not come.",
	})
	m := &metrics{unfinished: unfinished, refused: map[protocol.Code]prometheus.Counter{}, pages: map[string]prometheus.Counter{}}
	for _, c := range []protocol.Code{
		protocol.CodeInvalidArgument, protocol.CodeUnauthenticated, protocol.CodePermissionDenied, protocol.CodeNotFound,
		protocol.CodeTooLarge, protocol.CodeResourceExhausted, protocol.CodeUnavailable, protocol.CodeInternal,
	} {
		m.refused[c] = refused.WithLabelValues(string(c))
	}
	for _, reason := range keptReasons {
		m.pages[reason] = pages.WithLabelValues(reason)
	}
	for _, c := range []prometheus.Collector{refused, pages, unfinished} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
