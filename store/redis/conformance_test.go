package redis

import (
	"testing"
	"time"

	"ramen/store"
	"ramen/store/storetest"
)

func TestConformance(t *testing.T) {
	r := startServer(t)
	storetest.Run(t, storetest.Config{
		Open:       func(t *testing.T) func() store.Store { return opener(t, r) },
		Retention:  time.Minute,
		ChecksLast: true,
	})
}
