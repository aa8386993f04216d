package mailbox

import (
	"testing"

	"ramen/protocol"
)

func BenchmarkLaneAfter(b *testing.B) {
	var l lane
	for i := range 10_000 {
		l.entries = append(l.entries, &entry{pos: protocol.Position{Epoch: 1, Micros: uint64(i + 1)}})
	}
	i := uint64(0)
	for b.Loop() {
		i = (i + 7919) % 10_000
		if l.after(protocol.Position{Epoch: 1, Micros: i}) != int(i) {
			b.Fatal(i)
		}
	}
}
