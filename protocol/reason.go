package protocol

// Reason is why a stream ended. The same value goes to the wire, the log and the metric label. SPEC 5.3.
type Reason uint8

// The reasons of SPEC 5.3, and those that only the server sees: gone (the device closed or its connection broke) and
// protocol_error (a frame that breaks the contract, which gets no goaway).
const (
	ReasonNone Reason = iota
	ReasonDrain
	ReasonRebalance
	ReasonSuperseded
	ReasonUnauthenticated
	ReasonPermissionDenied
	ReasonInvalidArgument
	ReasonResourceExhausted
	ReasonAckTimeout
	ReasonTooSlow
	ReasonUnavailable
	ReasonDisconnected
	ReasonInternal
	ReasonGone
	ReasonProtocolError
	ReasonTooBig
	reasonCount
)

type reasonInfo struct {
	name  string
	close int  // WebSocket close code, SPEC 6.3
	final bool // the device must not come back as it is
}

var reasons = [reasonCount]reasonInfo{
	ReasonNone:              {"", 1000, false},
	ReasonDrain:             {"drain", 1001, false},
	ReasonRebalance:         {"rebalance", 1001, false},
	ReasonSuperseded:        {"superseded", 4409, true},
	ReasonUnauthenticated:   {"unauthenticated", 4401, true},
	ReasonPermissionDenied:  {"permission_denied", 4403, true},
	ReasonInvalidArgument:   {"invalid_argument", 4400, true},
	ReasonResourceExhausted: {"resource_exhausted", 4529, false},
	ReasonAckTimeout:        {"ack_timeout", 4508, false},
	ReasonTooSlow:           {"too_slow", 4513, false},
	ReasonUnavailable:       {"unavailable", 1013, false},
	ReasonDisconnected:      {"disconnected", 4404, true},
	ReasonInternal:          {"internal", 1011, false},
	ReasonGone:              {"gone", 1000, false},
	ReasonProtocolError:     {"protocol_error", 1008, true},
	ReasonTooBig:            {"too_big", 1009, true},
}

// Reasons lists every reason, for metrics that make their labels at start.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount-1)
	for r := ReasonDrain; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}

// info is that of internal for a number that this version does not know: one from a newer peer.
func (r Reason) info() *reasonInfo {
	if r >= reasonCount {
		r = ReasonInternal
	}
	return &reasons[r]
}

// String is the wire name of r.
func (r Reason) String() string { return r.info().name }

// CloseCode is the WebSocket close code of r. SPEC 6.3.
func (r Reason) CloseCode() int { return r.info().close }

// Final reports whether a device must not come back as it is: without another token, or at all. SPEC 2.13.3, 2.13.4, 6.3.15.
func (r Reason) Final() bool { return r.info().final }

// ParseReason finds the reason with the wire name s.
func ParseReason(s string) (Reason, bool) {
	for r := ReasonDrain; r < reasonCount; r++ {
		if reasons[r].name == s {
			return r, true
		}
	}
	return ReasonNone, false
}

// ReasonOf is the reason that ends a stream for an error of code c.
func ReasonOf(c Code) Reason {
	switch c {
	case CodeInvalidArgument, CodeTooLarge, CodeNotFound:
		return ReasonInvalidArgument
	case CodeUnauthenticated:
		return ReasonUnauthenticated
	case CodePermissionDenied:
		return ReasonPermissionDenied
	case CodeResourceExhausted:
		return ReasonResourceExhausted
	case CodeUnavailable:
		return ReasonUnavailable
	}
	return ReasonInternal
}
