package frontend

import (
	"net/url"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
)

// TestClientsAreCountedOnEveryTransport: what a device says of its library is in ramen_frontend_clients from hello to the end.
func TestClientsAreCountedOnEveryTransport(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		r := prometheus.NewRegistry()
		b := newBench(t, func(_ *Config, d *Deps) { d.Metrics = r })
		d := dial(b, asking("u", "d", "label.client", "web", "label.client_version", "1.2.3"))
		want(t, d, protocol.ServerHello)
		untilClients(t, r, 1)
		d.close()
		untilClients(t, r, 0)
	})
}

// untilClients waits until n streams of web 1.2.3 are counted: hello leaves before the count is told, and an end after it.
func untilClients(t *testing.T, r prometheus.Gatherer, n float64) {
	t.Helper()
	got := -1.0
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		families, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.Metric {
				if f.GetName() == "ramen_frontend_clients" && m.Label[0].GetValue() == "web" && m.Label[1].GetValue() == "1.2.3" {
					got = m.Gauge.GetValue()
				}
			}
		}
		if got == n {
			return
		}
	}
	t.Fatalf("%v streams of the client are counted, want %v", got, n)
}
