package scenario

import (
	"math"
	"strings"

	"ramen/loadtest/report"
	"ramen/loadtest/stats"
)

// storeUsage is what the processes of the store have used together; nil: not known, or there are none.
func (b *bench) storeUsage() *stats.Usage {
	if len(b.cfg.StorePIDs) == 0 {
		return nil
	}
	sum, err := stats.OfProcesses(b.cfg.StorePIDs)
	if err != nil {
		return nil
	}
	return &sum
}

// ofStore adds what the store's processes have used for each of n messages; nothing where they are not known.
func (b *bench) ofStore(name string, from *stats.Usage, n int64) {
	to := b.storeUsage()
	c := cpu(from, to, n)
	if math.IsNaN(c) {
		return
	}
	b.out.Add("store's CPU "+name, c, "µs")
	b.out.Add("store's CPU", share(from, to), "%")
	b.out.Add("store's memory (RSS)", float64(to.RSS)/1e6, "MB")
	if to.Written > from.Written {
		b.out.Add("written to the store's disks "+name, float64(to.Written-from.Written)/float64(n), "bytes")
	}
}

// inStoreTable names the figures of a store's processes for the table of a run.
func (b *bench) inStoreTable(r *report.Row, at string) {
	if name, ok := strings.CutPrefix(r.Name, "store's CPU a message"); ok {
		b.called(r, "CPU of the store's servers a message%s,%s", name, at)
	}
}

// onStore is what a row's name says of the store; nothing of the embedded one.
func (b *bench) onStore() string {
	if b.p.Baseline || b.cfg.Serve == nil || b.cfg.Serve.Store == "" {
		return ""
	}
	text := ", on " + scheme(b.cfg.Serve.Store)
	if b.cfg.Serve.Cache != "" {
		text += " with a cache"
	}
	return text
}

// scheme is what a store's URL begins with, and its durability if it names one.
func scheme(url string) string {
	name, rest, _ := strings.Cut(url, ":")
	if _, query, ok := strings.Cut(rest, "?"); ok {
		for part := range strings.SplitSeq(query, "&") {
			if strings.HasPrefix(part, "durability=") || strings.HasPrefix(part, "replicas=") {
				name += " " + part
			}
		}
	}
	return name
}
