package gateway

import (
	"testing"
	"time"

	"ramen/protocol"
)

// A process that was stopped has read no acks meanwhile: the time is not the devices'. Here the sweeper does not run.
func TestFix22AckTimeoutLeavesOutWhereTheServerDidNotRun(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, w *fixture) {
		a, b := w.open("a", over(protocol.TransportSSE), window(1)), w.open("b", over(protocol.TransportSSE), window(1))
		w.accept("m1", medium, to("a"))
		w.sleep(2 * time.Second)
		w.accept("m2", medium, to("b"))
		asleep := make(chan struct{})
		a.mu.Lock()
		a.onClosed = func() {
			close(asleep)
			time.Sleep(10 * time.Second)
		}
		a.mu.Unlock()
		<-asleep // 3 s after m2
		w.sleep(10*time.Second + time.Second)
		b.ended(protocol.ReasonNone)
		w.sleep(2 * time.Second)
		b.ended(protocol.ReasonAckTimeout)
	})
}
