package devices

import "testing"

// TestDevicesOfAnEndedFrontendSpread: all endpoints have the same share of first streams, and those of one of them go on to all others
// alike; a device comes to every endpoint.
func TestDevicesOfAnEndedFrontendSpread(t *testing.T) {
	for n := 1; n <= 9; n++ {
		const each = 1000
		first, second := make([]int, n), make([]int, n)
		devices := each * n * max(n-1, 1)
		for d := range devices {
			at := turnOf(d, 1, n)
			first[at]++
			if at == 0 {
				second[turnOf(d, 2, n)]++
			}
			seen := make(map[int]bool)
			for turn := 1; turn <= n*n; turn++ {
				seen[turnOf(d, turn, n)] = true
			}
			if len(seen) != n {
				t.Fatalf("device %d comes to %d of %d endpoints", d, len(seen), n)
			}
		}
		for i := range n {
			want := each
			if n > 1 && i == 0 {
				want = 0
			}
			if first[i] != devices/n || second[i] != want {
				t.Errorf("%d endpoints: %d has %d first streams and %d second ones of those of the first, want %d and %d", n, i, first[i], second[i], devices/n, want)
			}
		}
	}
}
