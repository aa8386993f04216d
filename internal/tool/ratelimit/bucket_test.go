package ratelimit

import (
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// TestBucketAllowsWhatTheLibraryDoes over random times, rates and bursts.
func TestBucketAllowsWhatTheLibraryDoes(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		perSecond, burst := []int{1, 10, 50, 250, 2000, 10000}[r.IntN(6)], 1+r.IntN(100) // whole µs a token
		library := rate.NewLimiter(rate.Limit(perSecond), burst)
		var b Bucket
		now := int64(r.IntN(1e9))
		for range 1000 {
			now += int64(r.ExpFloat64() * 1e6 / float64(perSecond))
			at := time.Unix(0, 0).Add(time.Duration(now) * time.Microsecond)
			before := library.TokensAt(at)
			want := library.AllowN(at, 1)
			wait, got := b.Take(now, float64(perSecond), burst)
			if near := before > 0.999 && before < 1.001; got != want && !near { // the library counts in floating point
				t.Fatalf("seed %d: %d a second, burst %d, %v tokens: %v, the library says %v", seed, perSecond, burst, before, got, want)
			} else if got != want {
				break
			}
			if !got {
				if wait <= 0 {
					t.Fatalf("seed %d: refused with a wait of %v", seed, wait)
				}
				again := b
				if _, ok := again.Take(now+wait.Microseconds(), float64(perSecond), burst); !ok {
					t.Fatalf("seed %d: refused after the wait of %v", seed, wait)
				}
			}
		}
	}
}

func TestBucketIsFullAfterItsBurst(t *testing.T) {
	var b Bucket
	for range 5 {
		b.Take(1000, 10, 5)
	}
	if b.Full(1000) || b.Full(1000+499_999) || !b.Full(1000+500_000) {
		t.Errorf("it will be full at %d", b)
	}
	if _, ok := b.Take(1000, 0, 0); !ok {
		t.Error("without a limit it refuses")
	}
}

func BenchmarkTake(b *testing.B) {
	var bucket Bucket
	now := int64(0)
	for b.Loop() {
		now += 100
		bucket.Take(now, 2000, 100)
	}
}
