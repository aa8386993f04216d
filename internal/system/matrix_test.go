package system

import (
	"hash/fnv"
	"os"
	"slices"
	"strings"
	"testing"

	"ramen/internal/app"
)

// stores are the kinds that a test runs on where the store could matter.
var stores = []string{memory, pebble, redis, redisCluster, cassandra, tiered}

// local are those of the process itself, which end with its data.
var local = stores[:2]

// durable are those that outlive the process.
var durable = stores[1:]

// telling are the tests that run over all transports on each store: what a device comes back to is what the store has kept.
var telling = []string{"TestRule03ResumeAfterARestart", "TestRule06AtLeastOnceAfterARestart"}

// longVariable has every test run over all transports on each store, which takes minutes more.
const longVariable = "RAMEN_LONG"

var long = os.Getenv(longVariable) != ""

// chosen are those of stores that a test runs on: without RAMEN_LONG one that is about no rule has one of those with Cassandra in them.
func chosen(t *testing.T, stores []string) []string {
	if long || strings.HasPrefix(t.Name(), "TestRule") {
		return stores
	}
	other := drawn(t.Name(), []string{cassandra, tiered})
	return slices.DeleteFunc(slices.Clone(stores), func(s string) bool { return s == other })
}

// transportsOn are those of transports that a test runs over on a store.
func transportsOn(t *testing.T, store string, transports []string) []string {
	if long || !elsewhere(store) || slices.Contains(telling, t.Name()) {
		return transports
	}
	return []string{drawn(t.Name()+store, transports)}
}

// opener opens a stream over the transport of a subtest, which must succeed.
type opener func(place) *conn

// matrix runs f for each transport and store, each with a server of its own, whose ledger must add up in the end. The names are
// transport/store/processes. On a store that is elsewhere one transport has to do, another one for each test, unless the test is telling.
func matrix(t *testing.T, stores []string, f func(t *testing.T, s *server, open opener)) {
	t.Helper()
	matrixOf(t, transports, stores, nil, f)
}

// matrixOf is matrix for some transports, and with a configuration that tune has changed.
func matrixOf(t *testing.T, transports, stores []string, tune func(*app.Config), f func(t *testing.T, s *server, open opener)) {
	t.Helper()
	t.Parallel()
	for _, store := range chosen(t, stores) {
		for _, transport := range transportsOn(t, store, transports) {
			t.Run(transport+"/"+store+"/1", func(t *testing.T) {
				t.Parallel()
				run(t, store, tune, func(t *testing.T, s *server) {
					f(t, s, func(p place) *conn {
						t.Helper()
						return s.open(t, transport, p)
					})
				})
			})
		}
	}
}

// each runs f for each store, with a server of its own, whose ledger must add up in the end.
func each(t *testing.T, stores []string, tune func(*app.Config), f func(t *testing.T, s *server)) {
	t.Helper()
	t.Parallel()
	for _, store := range chosen(t, stores) {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			run(t, store, tune, f)
		})
	}
}

func run(t *testing.T, store string, tune func(*app.Config), f func(t *testing.T, s *server)) {
	t.Helper()
	cfg := testConfig(t, store)
	if tune != nil {
		tune(&cfg)
	}
	s := serve(t, cfg)
	f(t, s)
	if !t.Failed() {
		s.checkLedger()
	}
}

// drawn is one of list, the same for each seed.
func drawn(seed string, list []string) string {
	h := fnv.New32a()
	h.Write([]byte(seed))
	return list[h.Sum32()%uint32(len(list))]
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
