package deadline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Whoever looks sees what context.WithTimeout would show, whether somebody waits or not.
func TestItIsWhatWithTimeoutWouldBe(t *testing.T) {
	type key struct{}
	for _, waits := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			parent, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, 1))
			defer cancel()
			make2 := func(d time.Duration) (*Context, context.Context) {
				c := Within(parent, d)
				ref, stop := context.WithTimeout(parent, d)
				t.Cleanup(stop)
				if waits {
					c.Done()
				}
				return c, ref
			}
			same := func(what string, c *Context, ref context.Context) {
				t.Helper()
				synctest.Wait()
				at, _ := c.Deadline()
				want, _ := ref.Deadline()
				if !at.Equal(want) || c.Err() != ref.Err() || c.Value(key{}) != 1 {
					t.Errorf("%s, waits %v: %v %v, not %v %v", what, waits, at, c.Err(), want, ref.Err())
				}
			}
			a, refA := make2(time.Second)
			same("young", a, refA)
			time.Sleep(time.Second)
			same("late", a, refA)
			a.Stop()
			same("late and stopped", a, refA)

			b := Within(parent, time.Second)
			b.Stop()
			if b.Err() != context.Canceled {
				t.Errorf("stopped: %v", b.Err())
			}
			<-b.Done()

			c, refC := make2(time.Second)
			cancel()
			same("its parent is over", c, refC)
			<-c.Done()
		})
	}
}

func TestTheParentsDeadlineHolds(t *testing.T) {
	parent := Within(t.Context(), time.Second)
	at, _ := Within(parent, time.Hour).Deadline()
	if want, _ := parent.Deadline(); !at.Equal(want) {
		t.Errorf("%v, not %v", at, want)
	}
}

// A derived context ends with it, and needs no goroutine for that: goleak would find it.
func TestDerivedContextsEndWithIt(t *testing.T) {
	c := Within(t.Context(), time.Hour)
	child, cancel := context.WithCancel(c)
	defer cancel()
	c.Stop()
	<-child.Done()
	if child.Err() != context.Canceled {
		t.Error(child.Err())
	}
}

func TestNobodyWaitsForNothing(t *testing.T) {
	parent, cancel := context.WithCancel(t.Context())
	defer cancel()
	if n := testing.AllocsPerRun(100, func() {
		c := Within(parent, time.Hour)
		if c.Err() != nil {
			t.Error(c.Err())
		}
		c.Stop()
	}); n > 1 {
		t.Errorf("%v allocations", n)
	}
}

// What Err has said once it says again, though nobody waits and the parent ends in another way later.
func TestErrStaysWhatItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		c := Within(parent, time.Second)
		time.Sleep(time.Second)
		if err := c.Err(); err != context.DeadlineExceeded {
			t.Errorf("late: %v", err)
		}
		cancel()
		if err := c.Err(); err != context.DeadlineExceeded {
			t.Errorf("late, and then its parent is over: %v", err)
		}
		<-c.Done()
	})
}
