package app

import (
	"context"
	"math"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/topology/registry"
)

// loadMeter says what this process does, for the others to show.
type loadMeter struct {
	metrics prometheus.Gatherer
	cluster *clusterMember
	last    atomic.Pointer[registry.Load] // as it is told
	stop    context.CancelFunc
	done    chan struct{}
}

// newLoadMeter reads metrics now and then until close: by a goroutine of its own, since renewals of a registration must not wait for that.
func newLoadMeter(metrics prometheus.Gatherer, c *clusterMember) *loadMeter {
	ctx, stop := context.WithCancel(context.Background())
	l := &loadMeter{metrics: metrics, cluster: c, stop: stop, done: make(chan struct{})}
	l.last.Store(new(registry.Load))
	go l.run(ctx)
	return l
}

func (l *loadMeter) close(context.Context) error {
	l.stop()
	<-l.done
	return nil
}

// read is the load as it is told now.
func (l *loadMeter) read() registry.Load { return *l.last.Load() }

func (l *loadMeter) run(ctx context.Context) {
	defer close(l.done)
	old, at := l.sums(), time.Now()
	for {
		s, _ := l.cluster.mirror.Snapshot()
		pause := time.NewTimer(registry.LoadEvery(len(s.Entries)))
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
		sums, now := l.sums(), time.Now()
		rate := func(name string) float64 { return perSecond(sums[name]-old[name], now.Sub(at)) }
		l.last.Store(&registry.Load{
			ViewVersion: l.cluster.views.View().Version, Streams: int64(sums["ramen_frontend_streams"]), Mailboxes: int64(sums["ramen_gateway_mailboxes"]),
			Accepted: rate("ramen_gateway_messages_accepted_total"), Pushed: rate("ramen_frontend_pushes_total"),
		})
		old, at = sums, now
	}
}

// perSecond has one decimal: what is idle is told once.
func perSecond(n float64, d time.Duration) float64 { return math.Round(n/d.Seconds()*10) / 10 }

// sums are the metrics that are counters or gauges, by name, added up over their labels.
func (l *loadMeter) sums() map[string]float64 {
	sums := make(map[string]float64)
	families, _ := l.metrics.Gather() // what could be gathered is there
	for _, f := range families {
		for _, m := range f.Metric {
			sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sums
}

// portAddresses are the ports that this process registers with, by name: where others reach them.
func (c *Config) portAddresses() map[string]string {
	host, port, err := net.SplitHostPort(c.Listen.Backends)
	if err != nil || port == "0" {
		return nil
	}
	if host == "" || every(host) || host == "0.0.0.0" {
		host, _ = os.Hostname()
	}
	return map[string]string{registry.OperatorsPort: net.JoinHostPort(host, port)}
}
