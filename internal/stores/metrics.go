package stores

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/internal/tool/promset"
	"ramen/store"
)

// call is one of the contract's.
type call int

const (
	callLastEpoch call = iota
	callClaim
	callLoad
	callAppend
	callSaveDevices
	callForget
	callScanExpired
	callRenew
	callClaims
	callReplace
	calls
)

var callNames = [calls]string{"last_epoch", "claim", "load", "append", "save_devices", "forget", "scan_expired", "renew", "claims", "replace"}

// reason is why a call failed.
type reason int

const (
	reasonFenced reason = iota
	reasonLast
	reasonUnknown
	reasonTimeout
	reasonCanceled
	reasonClosed
	reasonOther
	reasons
)

var reasonNames = [reasons]string{"fenced", "last", "unknown", "timeout", "canceled", "closed", "other"}

// reasonOf puts an error into one of a closed set.
func reasonOf(err error) reason {
	var last *store.LastError
	switch {
	case errors.Is(err, store.ErrFenced):
		return reasonFenced
	case errors.As(err, &last):
		return reasonLast
	case errors.Is(err, store.ErrUnknown):
		return reasonUnknown
	case errors.Is(err, context.DeadlineExceeded):
		return reasonTimeout
	case errors.Is(err, context.Canceled):
		return reasonCanceled
	case errors.Is(err, store.ErrClosed):
		return reasonClosed
	}
	return reasonOther
}

// metrics are of a store's calls.
type metrics struct {
	seconds  [calls]prometheus.Observer
	inFlight [calls]prometheus.Gauge
	errors   [calls][reasons]prometheus.Counter
}

// newMetrics makes and registers; a nil registerer registers nowhere.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "ramen_store_call_seconds", Help: "Time of a call of a store that is reached over a network, by call. Of append it is that of each user's part.",
		Buckets: prometheus.ExponentialBuckets(100e-6, 2, 16),
	}, []string{"call"})
	inFlight := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ramen_store_calls_in_flight", Help: "Calls of the store that were not answered yet, by call. Of append each user's part counts.",
	}, []string{"call"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_store_call_errors_total", Help: "Failed calls of the store, or parts of one (a user's, a shard's), by call and reason.",
	}, []string{"call", "reason"})
	m := &metrics{}
	for c, name := range callNames {
		m.seconds[c], m.inFlight[c] = seconds.WithLabelValues(name), inFlight.WithLabelValues(name)
		for r, reason := range reasonNames {
			m.errors[c][r] = failed.WithLabelValues(name, reason)
		}
	}
	if err := (&promset.Set{seconds, inFlight, failed}).Register(reg); err != nil {
		return nil, fmt.Errorf("stores: register metrics: %w", err)
	}
	return m, nil
}

// begin counts n calls, or parts of one, that begin now.
func (m *metrics) begin(c call, n int) time.Time {
	m.inFlight[c].Add(float64(n))
	return time.Now()
}

// end counts one of those.
func (m *metrics) end(c call, began time.Time, err error) {
	m.inFlight[c].Dec()
	m.seconds[c].Observe(time.Since(began).Seconds())
	m.failed(c, err)
}

func (m *metrics) failed(c call, err error) {
	if err != nil {
		m.errors[c][reasonOf(err)].Inc()
	}
}
