package observe

import (
	"testing"
	"time"
)

// TestSlackIsOfTheWholeRun: a wall clock that was moved and moved back was wrong meanwhile.
func TestSlackIsOfTheWholeRun(t *testing.T) {
	c := StartClock()
	for _, by := range []time.Duration{time.Hour, -2 * time.Hour, time.Minute} {
		c.apart(by)
	}
	if got := c.Slack(); got != 2*time.Hour {
		t.Errorf("the slack is %v", got)
	}
}
