package protocol

// Priority is the lane of a message. The numbers are those of the wire. SPEC 7.1.
type Priority uint8

// The priorities, highest first. Unspecified is medium to a publisher.
const (
	PriorityUnspecified Priority = iota
	PriorityHigh
	PriorityMedium
	PriorityLow
)

// Lanes is how many priorities, and so lanes of a mailbox, there are.
const Lanes = 3

var priorityNames = [...]string{"", "high", "medium", "low"}

// String is the wire name of p: high, medium or low.
func (p Priority) String() string {
	if int(p) < len(priorityNames) {
		return priorityNames[p]
	}
	return ""
}

// Lane is the index of p's lane, 0 for high to 2 for low. It must not be called on an unspecified priority.
func (p Priority) Lane() int { return int(p) - 1 }

// LanePriority is the priority of the lane with index i.
func LanePriority(i int) Priority { return Priority(i + 1) }

// ParsePriority reads a wire name; the empty name is unspecified.
func ParsePriority(s string) (Priority, bool) {
	for i, n := range priorityNames {
		if s == n {
			return Priority(i), true
		}
	}
	return 0, false
}
