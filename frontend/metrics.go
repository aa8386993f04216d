package frontend

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what is counted of requests: packages stream and transport count the rest. All labels are made at start.
type metrics struct {
	pages map[string]prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	pages := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ramen_frontend_page_refusals_total", Help: "Requests of web pages refused, by reason: cors (served, but the page cannot read the answer), websocket and host (403)."}, []string{"reason"})
	m := &metrics{pages: map[string]prometheus.Counter{}}
	for _, reason := range pageReasons {
		m.pages[reason] = pages.WithLabelValues(reason)
	}
	return m, r.Register(pages)
}
