package transport

import (
	"math/rand/v2"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/admission"
	"ramen/frontend/request"
	"ramen/frontend/stream"
	"ramen/protocol"
)

// Services is what transports need of the server that they are parts of.
type Services struct {
	Streams   *stream.Set
	Admission *admission.Control
	Requests  *request.Reader
	Refusals  Refusals
}

// Refusals counts streams and acks that were refused, by the code of the error.
type Refusals map[protocol.Code]prometheus.Counter

// NewRefusals registers the counters.
func NewRefusals(r prometheus.Registerer) (Refusals, error) {
	all := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_frontend_refusals_total", Help: "Streams and acks refused, by error code.",
	}, []string{"code"})
	counters := Refusals{}
	for _, c := range []protocol.Code{
		protocol.CodeInvalidArgument, protocol.CodeUnauthenticated, protocol.CodePermissionDenied, protocol.CodeNotFound,
		protocol.CodeTooLarge, protocol.CodeResourceExhausted, protocol.CodeUnavailable, protocol.CodeInternal,
	} {
		counters[c] = all.WithLabelValues(string(c))
	}
	return counters, r.Register(all)
}

// Count counts one.
func (r Refusals) Count(c protocol.Code) {
	if counter := r[c]; counter != nil {
		counter.Inc()
	}
}

// RefusedRetryMS is when a device whose stream was refused is to come back, in ms: drawn for each, so that those that were refused
// together do not come back together. SPEC 5.
func RefusedRetryMS() int { return Draw(2000, 10_000) }

// Draw is a random number from least to most.
func Draw(least, most int) int { return least + rand.IntN(most-least+1) }
