package tiered

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/internal/tool/promset"
)

// loadResult is what became of a look into the cache.
type loadResult uint8

const (
	loadHit   loadResult = iota
	loadMiss             // no mailbox of that user
	loadStale            // the cache has another history
	loadError            // it did not answer
	loadOff              // it was not asked
	loadResults
)

// What becomes of generations.
const (
	eventBegun = iota
	eventRevoked
	events
)

// What becomes of puts.
const (
	putDone = iota
	putFailed
	putLarge // not tried: the mailbox is above Config.MailboxBytes
	putResults
)

type metrics struct {
	loads       [loadResults]prometheus.Counter
	generations [events]prometheus.Counter
	puts        [putResults]prometheus.Counter
	shards      [states]prometheus.Gauge
	drops       prometheus.Counter

	all promset.Set
}

// newMetrics makes and registers; a nil registerer registers nowhere.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{}
	counters := func(into []prometheus.Counter, name, help, label string, values ...string) {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for i := range into {
			into[i] = v.WithLabelValues(values[i])
		}
		m.all = append(m.all, v)
	}
	counters(m.loads[:], "ramen_store_cache_loads_total", "Mailboxes that were looked for in the cache, by result; all but hit are read from the store behind it.",
		"result", "hit", "miss", "stale", "error", "off")
	counters(m.generations[:], "ramen_store_cache_generations_total", "Generations of cached mailboxes of a shard that began or were revoked.", "event", "begun", "revoked")
	counters(m.puts[:], "ramen_store_cache_puts_total", "Mailboxes that were put into the cache, by result.", "result", "done", "failed", "large")
	shards := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "ramen_store_cache_shards", Help: "Shards by the state of their cache: only trusted ones use it."}, []string{"state"})
	for i := range m.shards {
		m.shards[i] = shards.WithLabelValues(stateNames[i])
	}
	m.drops = prometheus.NewCounter(prometheus.CounterOpts{Name: "ramen_store_cache_drops_total", Help: "Cached mailboxes that were removed because they lacked a write, or had grown too large."})
	m.all = append(m.all, shards, m.drops)
	if err := m.all.Register(reg); err != nil {
		return nil, fmt.Errorf("store/tiered: register metrics: %w", err)
	}
	return m, nil
}
