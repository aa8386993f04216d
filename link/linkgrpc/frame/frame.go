package frame

import (
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"ramen/protocol/protowalk"
)

// Fields of linkpb.Batch and linkpb.Frame.
const (
	batchFrames  protowire.Number = 1
	frameID      protowire.Number = 1
	frameTimeout protowire.Number = 2
)

// Kind says what a frame is, by the number of its field in linkpb.Frame.
type Kind protowire.Number

// The kinds. None is a frame with nothing set, or one that this version does not know: it is ignored.
const (
	None Kind = 0

	KindHello     Kind = 3
	KindHeartbeat Kind = 4
	KindGoAway    Kind = 5

	KindOpen      Kind = 6
	KindCredit    Kind = 7 // Value: bytes
	KindStreamAck Kind = 8
	KindRefresh   Kind = 9
	KindMeasured  Kind = 10 // Value: ms
	KindClose     Kind = 11 // Value: reason

	KindOpened Kind = 12
	KindPushes Kind = 13
	KindAcked  Kind = 14 // Value: seq
	KindClosed Kind = 15
	KindLost   Kind = 16

	KindPublish    Kind = 17
	KindAck        Kind = 18
	KindDevices    Kind = 19
	KindMessages   Kind = 20
	KindRecall     Kind = 21
	KindDisconnect Kind = 22
	KindCancel     Kind = 23

	KindResults     Kind = 24
	KindDone        Kind = 25 // Value: how many
	KindDeviceList  Kind = 26
	KindMessagePage Kind = 27
	KindError       Kind = 28

	lastKind = KindError
)

// isNumber reports whether a frame of k has a Value, and no Body.
func (k Kind) isNumber() bool {
	switch k {
	case KindCredit, KindMeasured, KindClose, KindAcked, KindDone:
		return true
	}
	return false
}

// ErrMalformed is a frame that no peer of any version sends.
var ErrMalformed = errors.New("linkgrpc: a frame is malformed")

// Frame is one frame as it came. Its Body is decoded by the function of its kind.
type Frame struct {
	ID      uint64
	Timeout time.Duration // 0: none
	Kind    Kind
	Value   uint64
	Body    []byte // of the batch
}

// Reader goes through the frames of a batch.
type Reader struct {
	walk fields
}

// Read is a reader of the batch in b.
func Read(b []byte) Reader { return Reader{fields{Walk: protowalk.Of(b)}} }

// Next puts the next frame into f; false at the end, and where what comes is malformed.
func (r *Reader) Next(f *Frame) bool {
	for r.walk.Next() {
		if r.walk.Number != batchFrames {
			continue
		}
		if !f.parse(r.walk.bytes()) {
			r.walk.wrong = true
		}
		return !r.walk.wrong
	}
	return false
}

// Err is ErrMalformed where Next has ended before the batch.
func (r *Reader) Err() error { return r.walk.err() }

// parse reads the frame in b. Where several kinds are set the last counts.
func (f *Frame) parse(b []byte) bool {
	*f = Frame{}
	w := fieldsOf(b)
	for w.Next() {
		switch k := Kind(w.Number); {
		case w.Number == frameID:
			f.ID = w.uint()
		case w.Number == frameTimeout:
			f.Timeout = micros(w.uint())
		case k > lastKind: // of a newer version
		case k.isNumber():
			f.Kind, f.Value, f.Body = k, w.uint(), nil
		default:
			f.Kind, f.Value, f.Body = k, 0, w.bytes()
		}
	}
	return w.err() == nil
}

// maxTimeout is where a timeout is as good as none.
const maxTimeout = 24 * time.Hour

func micros(us uint64) time.Duration {
	return time.Duration(min(us, uint64(maxTimeout/time.Microsecond))) * time.Microsecond
}
