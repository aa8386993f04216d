package app

import (
	"math"
	"net"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/topology/registry"
)

// loadMeter says what this process does, for the others to show. It is told rarely, since each change goes to every member: all of a large cluster
// together write 20 times a second at most.
type loadMeter struct {
	metrics prometheus.Gatherer
	members func() int // about how many there are
	view    func() uint64

	mu       sync.Mutex
	at       time.Time     // of the last reading
	accepted float64       // until then
	pushed   float64       // until then
	last     registry.Load // as it is told
}

// How often a member tells what it does: the larger of both.
const (
	loadEvery     = 5 * time.Second
	loadPerMember = 50 * time.Millisecond
)

// read is the load as it is told now. It is called with each renewal of a registration.
func (l *loadMeter) read() registry.Load {
	l.mu.Lock()
	defer l.mu.Unlock()
	passed := time.Since(l.at)
	if passed < max(loadEvery, time.Duration(l.members())*loadPerMember) {
		return l.last
	}
	sums := l.sums()
	accepted, pushed := sums["ramen_gateway_messages_accepted_total"], sums["ramen_frontend_pushes_total"]
	now := registry.Load{ViewVersion: l.view(), Streams: int64(sums["ramen_frontend_streams"]), Mailboxes: int64(sums["ramen_gateway_mailboxes"])}
	if !l.at.IsZero() {
		now.Accepted, now.Pushed = perSecond(accepted-l.accepted, passed), perSecond(pushed-l.pushed, passed)
	}
	l.at, l.accepted, l.pushed, l.last = time.Now(), accepted, pushed, now
	return now
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
