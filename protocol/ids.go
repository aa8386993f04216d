package protocol

// UserID names whom a message is for. Everything of one user lives on one shard. SPEC 1.1.1, 1.2.1.
type UserID string

// DeviceID names one installation of an app for a user. SPEC 1.1.2.
type DeviceID string

// MessageID names a message within its user's mailbox. SPEC 1.1.4.
type MessageID string

// Seq is the number of a push; within a stream without gaps. 0 is "before the first push". SPEC 1.1.8, 1.2.8.
type Seq uint64

// MaxSeq bounds every Seq: below 2^53, so that JavaScript's numbers hold it. SPEC 1.1.8.
const MaxSeq Seq = 1<<53 - 1

// ShardID numbers a shard of users, from 0.
type ShardID uint32

// Epoch is a generation of a shard's ownership. It is raised durably whenever a shard is taken; 0 is "never owned".
type Epoch uint64

// StreamNumber orders the streams of one device: the higher number wins the device. It is given at a stream's first
// open and kept through re-opens, so that a ghost that re-opens late cannot supersede its successor.
type StreamNumber struct {
	Epoch   Epoch
	Counter uint64
}

// IsZero reports whether no number was given yet.
func (n StreamNumber) IsZero() bool { return n == StreamNumber{} }

// Less reports whether n is the older of the two streams.
func (n StreamNumber) Less(o StreamNumber) bool {
	if n.Epoch != o.Epoch {
		return n.Epoch < o.Epoch
	}
	return n.Counter < o.Counter
}

// Transport is how a device holds its stream.
type Transport uint8

// The transports, as named in SPEC 7.3.4.
const (
	TransportNone Transport = iota
	TransportSSE
	TransportWS
	TransportGRPC
	TransportPoll
)

var transportNames = [...]string{"", "sse", "ws", "grpc", "poll"}

// String is the wire name of t: sse, ws, grpc or poll; empty for none.
func (t Transport) String() string {
	if int(t) < len(transportNames) {
		return transportNames[t]
	}
	return ""
}

// TwoWay reports whether the device answers on the stream itself: it acks and echoes heartbeats there. SPEC 1.1.11.
func (t Transport) TwoWay() bool { return t == TransportWS || t == TransportGRPC }

// Window is the most that may be unacked at once on a stream over t: pushes, and bytes of payload. SPEC 2.10.
func (t Transport) Window() (pushes, bytes int) {
	if t.TwoWay() {
		return 256, 1 << 20
	}
	return 1024, 4 << 20
}
