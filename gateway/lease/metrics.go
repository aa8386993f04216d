package lease

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	standby   prometheus.Gauge
	failed    prometheus.Counter
	recovered prometheus.Counter
}

func (m *metrics) init(r prometheus.Registerer) {
	m.standby = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "ramen_lease_standby", Help: "1 while another process has claimed the store, and this one serves nobody.",
	})
	m.failed = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_lease_readings_failed_total", Help: "Readings of the store's claims of which any part failed. A shard whose claim is not read for 2.4 s is not served.",
	})
	m.recovered = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_lease_recovered_shards_total", Help: "Shards that were claimed again and searched for losses, because the store is another copy or has lost their claims.",
	})
	if r != nil {
		r.MustRegister(m.standby, m.failed, m.recovered)
	}
}
