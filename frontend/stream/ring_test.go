package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Against a slice: the ring holds what was pushed and not popped, in order, and nothing while it is empty.
func TestRingIsAQueue(t *testing.T) {
	seed := rand.Uint64()
	rnd := rand.New(rand.NewPCG(seed, 2))
	r := new(ring)
	var model []string
	next := 0
	for range 20_000 {
		switch {
		case rnd.IntN(5) < 3 && len(model) < 1024:
			next++
			c := fmt.Sprint("c", next)
			r.push(unacked{cursor: c, bytes: uint32(next)})
			model = append(model, c)
		case len(model) > 0:
			for range min(len(model), rnd.IntN(8)) {
				if got := r.pop(); got.cursor != model[0] {
					t.Fatalf("seed %d: %q came, not %q", seed, got.cursor, model[0])
				}
				model = model[1:]
			}
		}
		if int(r.n) != len(model) || (r.buf == nil) != (len(model) == 0) {
			t.Fatalf("seed %d: %d in %d slots, not %d", seed, r.n, len(r.buf), len(model))
		}
		if len(model) > 0 {
			i := rnd.IntN(len(model))
			if at := r.find(model[i]); at != i {
				t.Fatalf("seed %d: found at %d, not %d", seed, at, i)
			}
		}
		if r.find("none") != -1 {
			t.Fatalf("seed %d: found what is not there", seed)
		}
	}
	for i, s := range r.sent(10) {
		if s.Cursor != model[i] || int(s.Seq) != 11+i {
			t.Fatalf("seed %d: sent %d is %+v", seed, i, s)
		}
	}
	if r.free(); r.n != 0 || r.buf != nil || r.sent(0) != nil {
		t.Fatalf("seed %d: a dropped ring holds %d", seed, r.n)
	}
}
