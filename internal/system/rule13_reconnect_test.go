package system

import (
	"fmt"
	"testing"
)

// What a server says of coming back is drawn afresh for each stream, so that those cut together do not come back together.
func TestRule13RetryIsDrawn(t *testing.T) {
	t.Parallel()
	s := serve(t, testConfig(t, memory))
	drawn := map[int]bool{}
	var all []*conn
	for i := range 30 {
		c := s.open(t, "sse", place{user: fmt.Sprint("u", i), device: "d1"})
		all = append(all, c)
		ms := c.device.(*sseDevice).retryMS
		if ms < 500 || ms > 2000 {
			t.Errorf("retry: %d", ms)
		}
		drawn[ms] = true
	}
	if len(drawn) < 10 {
		t.Errorf("30 streams were told %d times to come back", len(drawn))
	}
	s.running.Stop()
	for _, c := range all {
		f, err := c.frame()
		if ms := c.device.(*sseDevice).retryMS; err != nil || ms < 1 || ms > int(f.GoAway.ReconnectMS) {
			t.Errorf("%+v, %v, with retry: %d", f, err, ms)
		}
	}
}
