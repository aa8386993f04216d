package frontend

import (
	"fmt"
	"testing"

	"ramen/protocol"
)

// Where nobody had the time to drain, a device is still told that the server goes away, and when to come back.
func TestCloseSaysGoodbyeOverEveryTransport(t *testing.T) {
	b := newBench(t, nil)
	var all []device
	for i := range 20 {
		for _, d := range dialers {
			x := d.dial(b, asking("u", fmt.Sprint(d.name, i)))
			want(t, x, protocol.ServerHello)
			all = append(all, x)
		}
	}
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		f, err := within(t, d)
		if err != nil || f.Kind != protocol.ServerGoAway || f.GoAway.Reason != protocol.ReasonDrain || f.GoAway.ReconnectMS == 0 {
			t.Errorf("%T: %+v %v", d, f.GoAway, err)
		}
	}
}
