package tiered

import (
	"context"
	"fmt"

	"ramen/store"
	"ramen/store/driver"
)

// Tier puts a cache on Redis before a store on Cassandra.
func Tier() driver.Tier {
	return driver.Tier{
		Kept:   []string{"cassandra"},
		Caches: []string{"redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"},
		Wrap:   wrap,
	}
}

func wrap(ctx context.Context, kept store.Store, openCache func(context.Context) (store.Store, error), p driver.Params) (store.Store, error) {
	truth, ok := kept.(Truth)
	if !ok {
		return nil, fmt.Errorf("store/tiered: a %T keeps no marks of a cache", kept)
	}
	open := func(ctx context.Context) (Cache, error) {
		s, err := openCache(ctx)
		if err != nil {
			return nil, err
		}
		c, ok := s.(Cache)
		if !ok || !c.Fences() {
			_ = s.Close()
			return nil, fmt.Errorf("store/tiered: a %T cannot be a cache: it must refuse older epochs, and compare last positions", s)
		}
		return c, nil
	}
	cfg := Default(p.Shards)
	cfg.Log, cfg.Registerer = p.Log, p.Registerer
	cache := Reopening(ctx, open, cfg.Retry, cfg.RetryMax, p.Log)
	s, err := New(truth, cache, cfg)
	if err != nil {
		_ = cache.Close()
		return nil, err
	}
	return s, nil
}
