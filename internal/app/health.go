package app

import (
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/singleflight"

	"ramen/frontend/console"
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

// operators adds what operators ask of the backends' port: the console, health, metrics, and a check of the gauges.
// PROTOCOL 3, 8.
// The check names users, and counts everything: it takes a key that may read, and is made once for all who ask meanwhile.
func operators(mux *http.ServeMux, ready, check func() error, readers func(http.Handler) http.Handler, g prometheus.Gatherer) {
	var checking singleflight.Group
	once := func() error {
		_, err, _ := checking.Do("", func() (any, error) { return nil, check() })
		return err
	}
	mux.Handle("/{$}", reading(console.Handler()))
	mux.Handle("/healthz", reading(asks(func() error { return nil })))
	mux.Handle("/readyz", reading(asks(ready)))
	mux.Handle("/debug/check", reading(readers(asks(once))))
	mux.Handle("/metrics", reading(promhttp.HandlerFor(g, promhttp.HandlerOpts{})))
	mux.HandleFunc("/", nothingHere)
}

// reading takes no method but those that read. PROTOCOL 4.
func reading(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, protocol.Invalidf("the method is not one of this path: it must be GET or HEAD"))
	})
}

// nothingHere is the answer to what nobody serves. PROTOCOL 4
func nothingHere(w http.ResponseWriter, _ *http.Request) {
	refuse(w, http.StatusNotFound, protocol.Errorf(protocol.CodeNotFound,
		"there is nothing at this path: backends use /v1/publish and /v1/users/, operators GET /, /healthz, /readyz and /metrics"))
}

func refuse(w http.ResponseWriter, status int, e *protocol.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(protocol.AppendErrorJSON(nil, e), '\n'))
}

func asks(state func() error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, state()) })
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
