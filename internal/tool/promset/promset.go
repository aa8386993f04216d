// Package promset registers the collectors of a part all or none, so that the part can be opened again.
package promset

import "github.com/prometheus/client_golang/prometheus"

// Set is the collectors of one part.
type Set []prometheus.Collector

// Register registers all of s. Where that fails it registers none, and s is empty: to unregister it would take away what has their names.
// A nil registerer takes nothing.
func (s *Set) Register(r prometheus.Registerer) error {
	if r == nil {
		return nil
	}
	for i, c := range *s {
		if err := r.Register(c); err != nil {
			(*s)[:i].Unregister(r)
			*s = nil
			return err
		}
	}
	return nil
}

// Unregister takes back what Register has registered.
func (s Set) Unregister(r prometheus.Registerer) {
	if r == nil {
		return
	}
	for _, c := range s {
		r.Unregister(c)
	}
}
