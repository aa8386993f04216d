package protocol

import "cmp"

// Position is the place of a message in its lane: the epoch of the owner that accepted it, then that owner's µs.
// Positions of one user only ever grow, whoever's clock is wrong, because the epoch is compared first.
type Position struct {
	Epoch  Epoch
	Micros uint64 // µs: the wall clock at take-over plus monotonic time since, and at least the lane's last + 1
}

// Positions is one position a lane, high first.
type Positions [Lanes]Position

// IsZero reports whether p is before every message.
func (p Position) IsZero() bool { return p == Position{} }

// Compare orders positions: -1 where p is before o, 0 where they are the same, +1 where it is after.
func (p Position) Compare(o Position) int {
	if c := cmp.Compare(p.Epoch, o.Epoch); c != 0 {
		return c
	}
	return cmp.Compare(p.Micros, o.Micros)
}

// Less reports whether p is before o.
func (p Position) Less(o Position) bool { return p.Compare(o) < 0 }

// Max is, lane by lane, the further of the two.
func (p Positions) Max(o Positions) Positions {
	for i := range p {
		if p[i].Less(o[i]) {
			p[i] = o[i]
		}
	}
	return p
}
