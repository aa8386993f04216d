package topology

import "strings"

// MemberID names a gateway of the cluster: its name, as it is configured, and behind an @ what tells this start of its process from
// others. Without an @ all of it is the name.
type MemberID string

// Name is the member's name, which it keeps when it is started again.
func (id MemberID) Name() string {
	name, _, _ := strings.Cut(string(id), "@")
	return name
}

// Member is one gateway of the cluster, as it registered itself.
type Member struct {
	ID      MemberID
	Address string  // of its link, host:port; empty: it is in this process
	Zone    string  // where it stands: zones share the shards by the weights of their members, and a shard that moves stays in its own where it can
	Weight  float64 // its share of the shards, beside those of the others; 0: none
	Version string  // of its program
	State   MemberState
}

// MemberState is where a member is in its life.
//
//	joining ──▶ serving ──▶ draining ──▶ gone
//	   └───────────┴─────────────────────▶
type MemberState uint8

// The states of a member.
const (
	MemberJoining  MemberState = iota // registered, and not ready to own anything
	MemberServing                     // owns shards, and takes more
	MemberDraining                    // serves what it owns until that has moved, and takes no more
	MemberGone                        // its registration has ended: what it owned waits for a new owner
)

var memberStates = [...]string{"joining", "serving", "draining", "gone"}

// String is the state's name, in logs and metrics.
func (s MemberState) String() string { return nameOf(memberStates[:], int(s)) }

func nameOf(names []string, i int) string {
	if i >= len(names) {
		return "unknown"
	}
	return names[i]
}
