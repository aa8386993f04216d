package app

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ramen/protocol"
)

// readiness says whether the process can serve, and why not.
type readiness struct{ why atomic.Pointer[string] }

func (r *readiness) set(why string) { r.why.Store(&why) }

// Ready answers nil while the process can serve.
func (r *readiness) Ready() error {
	if why := r.why.Load(); why == nil {
		return fmt.Errorf("starting")
	} else if *why != "" {
		return fmt.Errorf("%s", *why)
	}
	return nil
}

// operators adds what operators ask of the backends' port: health, metrics, and a check of the gauges. PROTOCOL 8.
func operators(mux *http.ServeMux, ready func() error, check func() error, g prometheus.Gatherer) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, ready()) })
	mux.HandleFunc("GET /debug/check", func(w http.ResponseWriter, _ *http.Request) { answer(w, check()) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{}))
	mux.HandleFunc("/", nothingHere)
}

// nothingHere is the answer to what nobody serves. PROTOCOL 4
func nothingHere(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusNotFound)
	_, _ = w.Write(append(protocol.AppendErrorJSON(nil, protocol.Errorf(protocol.CodeNotFound,
		"there is nothing at this path: backends use /v1/publish and /v1/users/, operators GET /healthz, /readyz and /metrics")), '\n'))
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, err)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}
