package registry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func gauge(name, help string, read func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "ramen_registry_" + name, Help: help}, read)
}

// Collectors are the metrics of m.
func (m *Mirror) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		gauge("heard_age_seconds", "Time since etcd, or the controllers that carry it, was last heard of; -1: never.", func() float64 {
			if seen := m.Seen(); !seen.IsZero() {
				return max(0, time.Since(seen).Seconds())
			}
			return -1
		}),
		gauge("keys", "Keys of the cluster in etcd, as this process knows them.", func() float64 {
			s, _ := m.Snapshot()
			return float64(len(s.Entries))
		}),
	}
}

// Collectors are the metrics of v.
func (v *Views) Collectors() []prometheus.Collector {
	return []prometheus.Collector{
		gauge("view_version", "Version of the view of the topology that this process acts upon. The same on all members, but for moments.", func() float64 {
			return float64(v.View().Version)
		}),
		gauge("view_age_seconds", "Time since this process has had that view.", func() float64 {
			return time.Since(v.newest.Load().since).Seconds()
		}),
	}
}
