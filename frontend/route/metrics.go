package route

import "github.com/prometheus/client_golang/prometheus"

// cause is why an attempt has to be made again. The names are a metric's labels.
type cause uint8

const (
	causeNone     cause = iota
	causeNoOwner        // the view has no owner for the shard, or no link to it
	causeNotOwner       // link.ErrNotOwner
	causeLost           // link.ErrLost: the outcome is unknown
	causeCount
)

var causeNames = [causeCount]string{"", "no_owner", "not_owner", "lost"}

type metrics struct {
	retries  [causeCount]prometheus.Counter
	gaveUp   prometheus.Counter
	counters []prometheus.Collector
}

func newMetrics() *metrics {
	m := new(metrics)
	retries := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_route_retries_total",
		Help: "Requests to an owner that were retried, by reason; each message of a batch is counted.",
	}, []string{"reason"})
	for c := causeNoOwner; c < causeCount; c++ {
		m.retries[c] = retries.WithLabelValues(causeNames[c])
	}
	m.gaveUp = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_route_unavailable_total",
		Help: "Requests that found no owner before their deadline; each message of a batch is counted.",
	})
	m.counters = []prometheus.Collector{retries, m.gaveUp}
	return m
}

// Register adds the router's metrics to reg.
func (r *Router) Register(reg prometheus.Registerer) error {
	for _, c := range r.metrics.counters {
		if err := reg.Register(c); err != nil {
			return err
		}
	}
	return nil
}
