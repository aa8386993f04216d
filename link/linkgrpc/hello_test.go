package linkgrpc

import (
	"strings"
	"testing"

	"ramen/link"
	"ramen/link/linktest"
)

// TestVersionsWorkTogether: one version apart works both ways, and has the whole contract; more is refused by words that say who is to
// be upgraded.
func TestVersionsWorkTogether(t *testing.T) {
	for _, c := range []struct {
		name              string
		frontend, gateway versions
		refused           string
	}{
		{"the same", versions{7, 6}, versions{7, 6}, ""},
		{"a newer gateway", versions{7, 6}, versions{8, 7}, ""},
		{"a newer frontend", versions{8, 7}, versions{7, 6}, ""},
		{"a gateway that is too new", versions{7, 6}, versions{9, 8}, "upgrade f1"},
		{"a frontend that is too new", versions{9, 8}, versions{7, 6}, "upgrade g1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := func(t *testing.T, gw link.Gateway, log *logged) *Link {
				_, address := listen(t, gw, func(cfg *ServerConfig) { cfg.versions = c.gateway })
				return connect(t, func(cfg *ClientConfig) { cfg.versions, cfg.Log = c.frontend, log.logger() }).To("g1", address)
			}
			if c.refused == "" {
				linktest.Run(t, func(t *testing.T, gw link.Gateway) link.Gateway { return up(t, start(t, gw, newLogged())) })
				return
			}
			log := newLogged()
			l := start(t, silent{}, log)
			if said := log.wait(t, "cause="); !strings.Contains(said, c.refused) || l.standing.Load() != nil {
				t.Errorf("refused by %s; want %q", said, c.refused)
			}
		})
	}
}

// TestWrongMember: who reaches another gateway than he meant, or one of another cluster, is told so and sends it nothing.
func TestWrongMember(t *testing.T) {
	server, address := listen(t, silent{}, func(cfg *ServerConfig) { cfg.Cluster = "blue" })
	for _, c := range []struct{ gateway, cluster, refused string }{
		{"g1", "blue", ""},
		{"g1", "", ""},
		{"g2", "blue", `g1 is here, and \"g2\" was meant`},
		{"g1", "green", `f1 is of cluster \"green\", and g1 of \"blue\"`},
	} {
		log := newLogged()
		client := connect(t, func(cfg *ClientConfig) { cfg.Cluster, cfg.Log = c.cluster, log.logger() })
		l := client.To(c.gateway, address)
		if c.refused == "" {
			devices(t, up(t, l))
			continue
		}
		if said := log.wait(t, "cause="); !strings.Contains(said, c.refused) {
			t.Errorf("refused by %s; want %s", said, c.refused)
		}
		if value(t, client.metrics.connects.WithLabelValues(connectRefused)) == 0 {
			t.Error("no refusal is counted")
		}
	}
	if value(t, server.metrics.connects.WithLabelValues(connectRefused)) < 2 {
		t.Error("the gateway has not counted its refusals")
	}
}

// TestNewerLinkReplacesOlder: a frontend that connects again has lost its link, though its gateway does not know that; and an
// attempt that comes late does not take the place of a newer one.
func TestNewerLinkReplacesOlder(t *testing.T) {
	server, address := listen(t, silent{}, nil)
	log := newLogged()
	first := connect(t, func(cfg *ClientConfig) { cfg.Log = log.logger() })
	old := up(t, first.To("g1", address))
	second := connect(t, nil)
	second.instance = first.instance
	second.numbers.Store(1000)
	l := up(t, second.To("g1", address))
	if said := log.wait(t, "link is down"); !strings.Contains(said, "made a newer link") {
		t.Errorf("the older link ends by %s", said)
	}
	log.wait(t, "refuses the link: the frontend has made a newer link") // its attempts
	devices(t, l)
	if old.standing.Load() != nil {
		t.Error("the older link stands")
	}
	if n := server.metrics.up.Load(); n != 1 {
		t.Errorf("%v links are up at the gateway", n)
	}
}
