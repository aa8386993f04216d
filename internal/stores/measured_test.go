package stores

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
	"ramen/store/storetest"
)

// both closes two.
type both struct {
	store.Store
	cache store.Store
}

func (b both) Close() error { return errors.Join(b.Store.Close(), b.cache.Close()) }

// TestMeasuredStoreKeepsTheContract runs the suite of stores on one that is measured.
func TestMeasuredStoreKeepsTheContract(t *testing.T) {
	storetest.Run(t, storetest.Config{
		Retention: time.Minute,
		Open: func(t *testing.T) func() store.Store {
			disk := memory.NewDisk(memory.Config{})
			return func() store.Store { return measure(disk.Open(), "memory:", counts(t, nil)) }
		},
	})
}

func counts(t *testing.T, reg prometheus.Registerer) *metrics {
	t.Helper()
	m, err := newMetrics(reg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The abilities that a gateway asks a store for, and those that commands alone ask for, of a store that is not measured.
var (
	keptAbilities    = []string{"ExpiryScanner", "Admitter", "Readier", "Shared", "Replacer"}
	commandAbilities = []string{"Backuper", "Enumerator", "Adopter", "Retirer", "CacheMarker"}
)

// TestEveryAbilityIsKept: an ability that package store comes to have, and measure would hide, is found here.
func TestEveryAbilityIsKept(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../store/store.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, object := range file.Scope.Objects {
		spec, ok := object.Decl.(*ast.TypeSpec)
		if !ok || name == "Store" {
			continue
		}
		if _, ok := spec.Type.(*ast.InterfaceType); ok && !slices.Contains(keptAbilities, name) && !slices.Contains(commandAbilities, name) {
			t.Errorf("store.%s is an ability that a measured store would not have", name)
		}
	}
}

// Stores with all, and with each of what decides how a gateway treats one.
type (
	scans    struct{}
	shares   struct{}
	replaces struct{}
)

func (scans) ScanExpired(context.Context, store.Owner, protocol.UserID, int64, int64, int) ([]protocol.UserID, error) {
	return nil, nil
}
func (shares) Renew(context.Context, string, time.Duration) error { return nil }
func (shares) Claims(context.Context, []protocol.ShardID) ([]store.Claimed, []error) {
	return nil, []error{store.ErrClosed}
}
func (shares) Fences() bool { return true }
func (replaces) Replace(context.Context, store.Owner, protocol.UserID, protocol.Position, store.Mailbox) error {
	return nil
}

// bare is a store with no ability.
type bare struct{ store.Store }

func TestAMeasuredStoreHasTheAbilitiesOfTheStore(t *testing.T) {
	abilities := map[string]reflect.Type{
		"scans": reflect.TypeFor[store.ExpiryScanner](), "shares": reflect.TypeFor[store.Shared](), "replaces": reflect.TypeFor[store.Replacer](),
	}
	b := bare{memory.New()}
	for _, s := range []store.Store{
		b,
		struct {
			bare
			scans
		}{bare: b},
		struct {
			bare
			shares
		}{bare: b},
		struct {
			bare
			replaces
		}{bare: b},
		struct {
			bare
			scans
			shares
		}{bare: b},
		struct {
			bare
			scans
			replaces
		}{bare: b},
		struct {
			bare
			shares
			replaces
		}{bare: b},
		struct {
			bare
			scans
			shares
			replaces
		}{bare: b},
	} {
		m := measure(s, "s", counts(t, nil))
		for name, ability := range abilities {
			if had, has := reflect.TypeOf(s).Implements(ability), reflect.TypeOf(m).Implements(ability); had != has {
				t.Errorf("%T: %s is %v, and measured %v", s, name, had, has)
			}
		}
		if m.(store.Readier).Ready() != nil || m.(store.Admitter).Admit(protocol.PriorityLow) != nil {
			t.Errorf("%T is not ready", s)
		}
		if s, ok := m.(store.Shared); ok {
			if _, errs := s.Claims(t.Context(), nil); !errors.Is(errors.Join(errs...), store.ErrClosed) {
				t.Errorf("%T is not the one that is asked: %v", s, errs)
			}
		}
	}
}

// TestCallsAreCounted, each with its outcome, and a call under way as one in flight.
func TestCallsAreCounted(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	inner := memory.New()
	s := measure(inner, "redis://h", counts(t, reg))
	at := store.Owner{Shard: 1, Epoch: 5}
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	must(s.Claim(t.Context(), []protocol.ShardID{1, 2}, 5, "me")...)
	if err := errors.Join(s.Claim(t.Context(), []protocol.ShardID{1, 2}, 4, "he")...); !errors.Is(err, store.ErrFenced) {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context(), store.Owner{Shard: 1, Epoch: 4}, "u"); !errors.Is(err, store.ErrFenced) {
		t.Fatal(err)
	}
	held, answered := make(chan struct{}), make(chan error, 2)
	inner.Script(func(_ context.Context, op memory.Op) memory.Fault {
		if op.User == "slow" {
			<-held
			return memory.Fault{Err: fmt.Errorf("%w: gone", store.ErrUnknown)}
		}
		return memory.Fault{}
	})
	batch := []store.Append{{Owner: at, User: "fast"}, {Owner: at, User: "slow"}}
	s.Append(t.Context(), batch, func(_ int, err error) { answered <- err })
	must(<-answered)
	if text := metricsText(t, reg); !strings.Contains(text, `ramen_store_calls_in_flight{call="append"} 1`) {
		t.Errorf("while one is under way:\n%s", text)
	}
	close(held)
	if err := <-answered; !errors.Is(err, store.ErrUnknown) {
		t.Fatal(err)
	}
	text := metricsText(t, reg)
	for _, want := range []string{
		`ramen_store_calls_in_flight{call="append"} 0`,
		`ramen_store_call_seconds_count{call="append"} 2`,
		`ramen_store_call_seconds_count{call="claim"} 2`,
		`ramen_store_call_seconds_count{call="load"} 1`,
		`ramen_store_call_errors_total{call="append",reason="unknown"} 1`,
		`ramen_store_call_errors_total{call="claim",reason="fenced"} 2`,
		`ramen_store_call_errors_total{call="load",reason="fenced"} 1`,
		`ramen_store_call_errors_total{call="load",reason="other"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
	inner.Script(func(_ context.Context, op memory.Op) memory.Fault {
		return memory.Fault{Err: errors.New("no disk")}
	})
	if err := s.(store.Readier).Ready(); err == nil || !strings.Contains(err.Error(), "the store redis://h is not ready: ") || !strings.Contains(err.Error(), "no disk") {
		t.Errorf("not ready: %v", err)
	}
}

// metricsText is what a scrape gets.
func metricsText(t *testing.T, g prometheus.Gatherer) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(g, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}
