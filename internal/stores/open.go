package stores

import (
	"context"
	"errors"
	"fmt"

	"ramen/store"
	"ramen/store/driver"
	"ramen/store/pebble"
)

// Open opens the store of c, with the cache before it where there is one; base has all but what c says. Its calls are measured where it
// is reached over a network.
func (c *Config) Open(ctx context.Context, base driver.Params) (store.Store, error) {
	base.MemoryBytes = c.MemoryBytes
	if c.Kind != "" {
		base.Log.Warn("the configuration key store.kind is deprecated: use store.url", "store.kind", c.Kind, "store.url", c.URL)
	}
	kept, err := c.Place()
	if err != nil {
		return nil, err
	}
	if kept.Volatile {
		base.Log.Warn("all data is lost when this process ends", "store", c.URL)
	}
	s, err := kept.Open(ctx, kept.Params(base))
	if err == nil && !c.Cache.IsZero() {
		s, err = c.tier(ctx, s, kept, base)
	}
	if err != nil || !kept.Remote {
		return s, err
	}
	m, err := newMetrics(base.Registerer)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return measure(s, c.describe(), m), nil
}

// tier opens the cache, and puts it before s.
func (c *Config) tier(ctx context.Context, s store.Store, kept Place, base driver.Params) (store.Store, error) {
	t, err := findTier(c.URL, c.Cache)
	var cache Place
	if err == nil {
		cache, err = c.CachePlace()
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	open := func(ctx context.Context) (store.Store, error) {
		p := cache.Params(base)
		p.Cache = true
		return cache.Open(ctx, p)
	}
	both, err := t.Wrap(ctx, s, open, kept.Params(base))
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return both, nil
}

// describe names the store for people.
func (c *Config) describe() string {
	if c.Cache.IsZero() {
		return c.URL.String()
	}
	return fmt.Sprintf("%s with the cache %s", c.URL, c.Cache)
}

// Check says what would keep Open from opening the store now, and its report. Where there is a cache, the report is of both.
func (c *Config) Check(ctx context.Context, base driver.Params) (driver.Report, error) {
	base.MemoryBytes = c.MemoryBytes
	kept, err := c.Place()
	if err != nil {
		return driver.Report{}, err
	}
	r, err := kept.Look(ctx, base)
	if c.Cache.IsZero() {
		return r, err
	}
	cache, cacheErr := c.CachePlace()
	if cacheErr != nil {
		return r, errors.Join(err, cacheErr)
	}
	before, cacheErr := cache.Look(ctx, base)
	r.Servers = append(r.Servers, before.Servers...)
	r.Problems = append(r.Problems, before.Problems...)
	return r, errors.Join(err, cacheErr)
}

// Memory is what the store takes in memory at worst, in bytes, and how many of them are not of Go's heap.
func (c *Config) Memory(base driver.Params) (all, outside int64) {
	base.MemoryBytes = c.MemoryBytes
	d, err := c.find(c.URL)
	if err != nil || d.Memory == nil {
		return 0, 0
	}
	return d.Memory(Place{Driver: d, URL: c.URL}.Params(base))
}

// Folder is where the store's files are on this machine; ok is false where it has none. data is the configuration's folder.
func (c *Config) Folder(data string) (dir string, ok bool) {
	if c.URL.Scheme() != "pebble" {
		return "", false
	}
	return pebble.Folder(c.URL.Location(), data), true
}
