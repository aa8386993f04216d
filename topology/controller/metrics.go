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
	given  *prometheus.CounterVec
}

// Why a shard was given to a new owner: the closed set of the label reason.
const (
	givenMoved = "moved" // its owner has released it, in order
	givenLost  = "lost"  // its owner has gone, or could not serve it
	givenFree  = "free"  // nobody had it
)

func (m *metrics) init(reg prometheus.Registerer) {
	m.leads = prometheus.NewGauge(prometheus.GaugeOpts{Name: "ramen_controller_leads", Help: "1 while this controller is elected, else 0."})
	m.views = prometheus.NewCounter(prometheus.CounterOpts{Name: "ramen_controller_views_total", Help: "Views of the topology that this controller has written."})
	m.ended = prometheus.NewCounter(prometheus.CounterOpts{Name: "ramen_controller_gone_total", Help: "Gateways whose registration was ended because nobody listened at their address."})
	m.shards = prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ramen_controller_shards", Help: "Shards of the view, by state, where this controller is elected."}, []string{"state"})
	m.given = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ramen_controller_shards_given_total",
		Help: "Shards that this controller has given to a new owner, by reason: moved (the owner before has released it), lost (the owner before has gone, or could not serve it), free (nobody had it)."}, []string{"reason"})
	for _, reason := range []string{givenMoved, givenLost, givenFree} {
		m.given.WithLabelValues(reason)
	}
	if reg != nil {
		reg.MustRegister(m.leads, m.views, m.ended, m.shards, m.given)
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
