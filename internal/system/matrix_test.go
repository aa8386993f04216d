package system

import (
	"slices"
	"strings"
	"testing"

	"ramen/internal/app"
)

// stores are the kinds that a test runs on where the store could matter.
var stores = []string{memory, pebble}

// opener opens a stream over the transport of a subtest, which must succeed.
type opener func(place) *conn

// matrix runs f for each transport and store, each with a server of its own, whose ledger must add up in the end. The names are
// transport/store/processes.
func matrix(t *testing.T, stores []string, f func(t *testing.T, s *server, open opener)) {
	t.Helper()
	matrixOf(t, transports, stores, nil, f)
}

// matrixOf is matrix for some transports, and with a configuration that tune has changed.
func matrixOf(t *testing.T, transports, stores []string, tune func(*app.Config), f func(t *testing.T, s *server, open opener)) {
	t.Helper()
	t.Parallel()
	for _, transport := range transports {
		for _, store := range stores {
			t.Run(transport+"/"+store+"/1", func(t *testing.T) {
				t.Parallel()
				cfg := testConfig(t, store)
				if tune != nil {
					tune(&cfg)
				}
				s := serve(t, cfg)
				f(t, s, func(p place) *conn {
					t.Helper()
					return s.open(t, transport, p)
				})
				if !t.Failed() {
					s.checkLedger()
				}
			})
		}
	}
}

// equal fails unless got is want.
func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// transportOf is the transport of a subtest of matrix.
func transportOf(t *testing.T) string { return strings.Split(t.Name(), "/")[1] }
