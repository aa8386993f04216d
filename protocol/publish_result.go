package protocol

import (
	"fmt"
	"math"
	"slices"
)

// PublishStatus is what became of a message. The numbers are those of the wire. SPEC 7.1.
type PublishStatus uint8

// The statuses of SPEC 7.1.
const (
	PublishUnspecified PublishStatus = iota
	PublishAccepted
	PublishDuplicate
	PublishRejected
)

var publishStatusNames = [...]string{"", "accepted", "duplicate", "rejected"}

// String is the wire name of s: accepted, duplicate or rejected.
func (s PublishStatus) String() string {
	if int(s) < len(publishStatusNames) {
		return publishStatusNames[s]
	}
	return ""
}

// PublishResult is the answer to one message for one user.
type PublishResult struct {
	ID      string
	Status  PublishStatus
	Err     *Error // where rejected
	Devices uint32 // the known devices that it is for
}

// AppendPublishResults appends the answer of POST /v1/publish: {"results":[…]}. SPEC 8.2.1.
func AppendPublishResults(b []byte, results []PublishResult) []byte {
	b = append(b, `{"results":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPublishResult(b, &results[i])
	}
	return append(b, "]}"...)
}

func appendPublishResult(b []byte, r *PublishResult) []byte {
	o := OpenJSONObject(b)
	o.Text("id", r.ID)
	o.Text("status", r.Status.String())
	if r.Err != nil {
		o.Name("error")
		e := OpenJSONObject(o.B)
		e.Text("code", string(r.Err.Code))
		e.Text("message", r.Err.Message)
		o.B = e.Close()
	}
	o.Int("devices", int64(r.Devices))
	return o.Close()
}

// DecodePublishResults reads the answer of POST /v1/publish. Fields and statuses that it does not know are passed over.
func DecodePublishResults(body []byte) ([]PublishResult, error) {
	var results []PublishResult
	w := newJSONWalk(body)
	w.open('{')
	for name, ok := w.field(); ok; name, ok = w.field() {
		if string(name) != "results" {
			w.value()
			continue
		}
		w.open('[')
		for w.more(']') {
			results = append(results, w.publishResult())
		}
	}
	if err := w.end(); err != nil {
		return nil, fmt.Errorf("protocol: decode publish results: %w", err)
	}
	return results, nil
}

func (w *jsonWalk) publishResult() (r PublishResult) {
	w.open('{')
	for name, ok := w.field(); ok; name, ok = w.field() {
		switch string(name) {
		case "id":
			r.ID = string(w.text())
		case "status":
			status := string(w.text())
			r.Status = PublishStatus(max(0, slices.Index(publishStatusNames[:], status)))
		case "error":
			r.Err = w.errorObject()
		case "devices":
			r.Devices = uint32(min(max(w.integer(), 0), math.MaxUint32))
		default:
			w.value()
		}
	}
	return r
}

func (w *jsonWalk) errorObject() *Error {
	e := new(Error)
	w.open('{')
	for name, ok := w.field(); ok; name, ok = w.field() {
		switch string(name) {
		case "code":
			e.Code = Code(w.text())
		case "message":
			e.Message = string(w.text())
		default:
			w.value()
		}
	}
	return e
}
