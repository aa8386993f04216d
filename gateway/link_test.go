package gateway

import (
	"context"
	"testing"

	"ramen/link"
	"ramen/link/linktest"
	"ramen/protocol"
)

func TestLinkConformance(t *testing.T) {
	for name, wrap := range map[string]func(gw link.Gateway) link.Gateway{
		"direct": func(gw link.Gateway) link.Gateway { return gw },
		"faulty": func(gw link.Gateway) link.Gateway { return linktest.Severable(gw) },
	} {
		t.Run(name, func(t *testing.T) {
			linktest.RunGateway(t, func(t *testing.T) linktest.Owned {
				w := newFixture(t, func(c *Config) { c.OpensPerSecond, c.PublishesPerSecond = 0, 0 })
				t.Cleanup(func() {
					w.check()
					if err := w.g.Close(context.Background()); err != nil {
						t.Error(err)
					}
				})
				w.take(w.epoch + 1) // so that there is an older epoch to ask at
				return linktest.Owned{Gateway: wrap(w.g), Route: w.route, Release: func() {
					if err := w.g.Release(context.Background(), []protocol.ShardID{0, 1, 2, 3}); err != nil {
						t.Error(err)
					}
				}}
			})
		})
	}
}

// TestSeveredLinkLosesNothing: frontends re-open what they had, wherever the link broke.
func TestSeveredLinkLosesNothing(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		faulty := linktest.Severable(w.g)
		d := &recorder{t: t, w: w, device: "d"}
		o := link.Open{Route: w.route(alice), User: alice, Device: "d"}
		var err error
		if d.stream, d.opened, err = faulty.Open(context.Background(), o, d); err != nil {
			t.Fatal(err)
		}
		d.stream.Credit(plenty)
		w.accept("m1", medium)
		w.accept("m2", medium)
		d.stream.Ack(1, "")
		faulty.Sever()
		if !d.lost {
			t.Fatal("the stream is not lost")
		}
		w.accept("m3", medium)
		faulty.Heal()
		again := &recorder{t: t, w: w, device: "d"}
		reopens(d, 1)(&o)
		if again.stream, again.opened, err = faulty.Open(context.Background(), o, again); err != nil {
			t.Fatal(err)
		}
		again.stream.Credit(plenty)
		again.got("m3")
		again.ack(3)
		w.wantWaiting()
	})
}
