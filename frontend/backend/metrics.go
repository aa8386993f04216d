package backend

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
)

// side is how a request came.
type side uint8

const (
	sideHTTP side = iota
	sideGRPC
	sideCount
)

var sideNames = [sideCount]string{"http", "grpc"}

// call is what a request asks for.
type call uint8

const (
	callPublish call = iota
	callPublishStream
	callDevices
	callMessages
	callRecall
	callDisconnect
	callOther // unknown paths and methods, foreign origins
	callCount
)

var callNames = [callCount]string{"publish", "publish_stream", "devices", "messages", "recall", "disconnect", "other"}

var errorCodes = [...]protocol.Code{
	protocol.CodeInvalidArgument, protocol.CodeUnauthenticated, protocol.CodePermissionDenied, protocol.CodeNotFound,
	protocol.CodeTooLarge, protocol.CodeResourceExhausted, protocol.CodeUnavailable, protocol.CodeInternal,
}

type metrics struct {
	accepted, duplicate [sideCount]prometheus.Counter
	rejected            [sideCount]map[protocol.Code]prometheus.Counter
	ok                  [sideCount][callCount]prometheus.Counter
	refused             [sideCount][callCount]map[protocol.Code]prometheus.Counter
	seconds             [sideCount][callCount]prometheus.Observer
	batch               [sideCount]prometheus.Observer
	unread              prometheus.Counter
	pages               map[string]prometheus.Counter
	impatient           prometheus.Counter
	all                 []prometheus.Collector
}

func newMetrics() *metrics {
	publishes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_backend_publishes_total",
		Help: "Messages published, each user counted, by API and result: accepted, duplicate, or the error's code.",
	}, []string{"side", "result"})
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_backend_requests_total",
		Help: "Requests of backends, by API, call and the answer's code; on a publish_stream each request is counted.",
	}, []string{"side", "call", "code"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "ramen_backend_request_seconds",
		Help:    "Time from a complete request to its answer.",
		Buckets: prometheus.ExponentialBuckets(0.000125, 2, 16), // to 4 s
	}, []string{"side", "call"})
	batch := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "ramen_backend_batch_messages",
		Help:    "Messages in a publish request, each user counted.",
		Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000},
	}, []string{"side"})
	impatient := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_backend_waited_for_total",
		Help: "Bodies and publish streams ended because their client took too long to send or to read, or because others needed their memory.",
	})
	unread := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "ramen_backend_lists_unread_total", Help: "gRPC connections ended because a list was not read in time.",
	})
	pages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ramen_backend_page_refusals_total",
		Help: "Requests of web pages refused with 403: from another origin, or to a host name while authentication is off.",
	}, []string{"reason"})
	m := &metrics{impatient: impatient, unread: unread, pages: map[string]prometheus.Counter{}, all: []prometheus.Collector{publishes, requests, seconds, batch, impatient, unread, pages}}
	for _, reason := range refusedReasons {
		m.pages[reason] = pages.WithLabelValues(reason)
	}
	for s, name := range sideNames {
		m.accepted[s] = publishes.WithLabelValues(name, "accepted")
		m.duplicate[s] = publishes.WithLabelValues(name, "duplicate")
		m.rejected[s] = byCode(func(c string) prometheus.Counter { return publishes.WithLabelValues(name, c) })
		m.batch[s] = batch.WithLabelValues(name)
		for k, callName := range callNames {
			m.ok[s][k] = requests.WithLabelValues(name, callName, "ok")
			m.refused[s][k] = byCode(func(c string) prometheus.Counter { return requests.WithLabelValues(name, callName, c) })
			m.seconds[s][k] = seconds.WithLabelValues(name, callName)
		}
	}
	return m
}

func byCode(of func(code string) prometheus.Counter) map[protocol.Code]prometheus.Counter {
	m := make(map[protocol.Code]prometheus.Counter, len(errorCodes))
	for _, c := range errorCodes {
		m[c] = of(string(c))
	}
	return m
}

// count takes the counter of a code; one that is not of the closed set is internal.
func count(m map[protocol.Code]prometheus.Counter, c protocol.Code) {
	counter, ok := m[c]
	if !ok {
		counter = m[protocol.CodeInternal]
	}
	counter.Inc()
}

// request counts one answered request; err is nil where it was served.
func (m *metrics) request(s side, k call, since time.Time, err *protocol.Error) {
	if err == nil {
		m.ok[s][k].Inc()
	} else {
		count(m.refused[s][k], err.Code)
	}
	m.seconds[s][k].Observe(time.Since(since).Seconds())
}

// results counts the results of one publish request.
func (m *metrics) results(s side, results []protocol.PublishResult) {
	m.batch[s].Observe(float64(len(results)))
	var accepted, duplicate int
	for i := range results {
		switch results[i].Status {
		case protocol.PublishAccepted:
			accepted++
		case protocol.PublishDuplicate:
			duplicate++
		default:
			count(m.rejected[s], results[i].Err.Code)
		}
	}
	m.accepted[s].Add(float64(accepted))
	m.duplicate[s].Add(float64(duplicate))
}
