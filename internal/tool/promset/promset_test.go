package promset

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestAllOrNone: a name that is taken keeps the others out, too, and a set that was unregistered can be registered again.
func TestAllOrNone(t *testing.T) {
	counter := func(name string) prometheus.Collector {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: "h"})
	}
	r := prometheus.NewRegistry()
	if err := r.Register(counter("taken")); err != nil {
		t.Fatal(err)
	}
	failed := Set{counter("one"), counter("taken"), counter("two")}
	if err := failed.Register(r); err == nil {
		t.Fatal("a name was taken twice")
	}
	failed.Unregister(r)
	if err := r.Register(counter("taken")); err == nil {
		t.Error("a set that was not registered took away another's name")
	}
	for range 2 {
		s := Set{counter("one"), counter("two")}
		if err := s.Register(r); err != nil {
			t.Fatal(err)
		}
		s.Unregister(r)
	}
	if err := (&Set{counter("one")}).Register(nil); err != nil {
		t.Error(err)
	}
}
