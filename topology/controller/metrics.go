package controller

import (
	"github.com/prometheus/client_golang/prometheus"

	"ramen/topology"
)

type metrics struct {
	leads  prometheus.Gauge
	views  prometheus.Counter
	ended  prometheus.Counter
	shards *prometheus.GaugeVec
}

func (m *metrics) init(reg prometheus.Registerer) {
	m.leads = prometheus.NewGauge(prometheus.GaugeOpts{Name: "ramen_controller_leads", Help: "1 while this controller is elected, else 0."})
	m.views = prometheus.NewCounter(prometheus.CounterOpts{Name: "ramen_controller_views_total", Help: "Views of the topology that this controller has written."})
	m.ended = prometheus.NewCounter(prometheus.CounterOpts{Name: "ramen_controller_gone_total", Help: "Gateways whose registration was ended because nobody listened at their address."})
	m.shards = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ramen_controller_shards", Help: "Shards of the view, by state, where this controller is elected."}, []string{"state"})
	if reg != nil {
		reg.MustRegister(m.leads, m.views, m.ended, m.shards)
	}
}

func (m *metrics) describe(v *topology.View) {
	var n [4]int
	for _, s := range v.Shards {
		n[s.State]++
	}
	for state, count := range n {
		m.shards.WithLabelValues(topology.ShardState(state).String()).Set(float64(count))
	}
}
