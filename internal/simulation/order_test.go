package simulation

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSequencesKeepTheirOrder: what is sent during a cut that is made longer does not overtake what was under way when it began.
func TestSequencesKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(200) {
			b := newBus(seed)
			x, y := b.node("x"), b.node("y")
			var last int64
			var mu sync.Mutex
			var come []int // guarded by mu
			for i := range 20 {
				switch i {
				case 5:
					b.cut(x, y, 20*time.Millisecond)
				case 15:
					b.cut(x, y, 40*time.Millisecond)
				}
				b.send(message{from: x, to: y, what: "n", a: uint64(i), after: &last}, func() {
					mu.Lock()
					defer mu.Unlock()
					come = append(come, i)
				})
				time.Sleep(3 * time.Millisecond)
			}
			time.Sleep(30 * time.Second)
			synctest.Wait()
			mu.Lock()
			if len(come) != 20 || !slices.IsSorted(come) {
				t.Errorf("seed %d: they come as %v", seed, come)
			}
			if len(b.orders) > 0 {
				t.Errorf("seed %d: %v are under way", seed, b.orders)
			}
			mu.Unlock()
		}
	})
}
