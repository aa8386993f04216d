package pebble

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"

	"ramen/store"
	"ramen/store/driver"
)

// cacheShare is the part of the memory that a store may take which is its cache's.
const cacheShare = 9

// Driver opens stores of pebble: URLs, each with the settings of cfg. pebble: alone is the store in Params.Dir, pebble:PATH is
// the one in that folder.
func Driver(cfg Config) driver.Driver {
	return driver.Driver{
		Schemes: []string{"pebble"},
		Open: func(_ context.Context, p driver.Params) (store.Store, error) {
			c, err := cfg.with(p)
			if err != nil {
				return nil, err
			}
			return Open(c, p.Log, p.Registerer)
		},
		Check: func(_ context.Context, p driver.Params) (driver.Report, error) {
			c, err := cfg.with(p)
			if err != nil {
				return driver.Report{}, err
			}
			return report(c)
		},
		Memory: func(p driver.Params) (all, outside int64) {
			c, err := cfg.with(p)
			if err != nil { // Open says what is wrong
				return 0, 0
			}
			return c.MostMemory()
		},
	}
}

// Folder is the folder of the store that a pebble: URL names; data is that of pebble: alone.
func Folder(u *url.URL, data string) string {
	switch {
	case u.Opaque != "":
		path, err := url.PathUnescape(u.Opaque)
		if err != nil { // it was read once
			return u.Opaque
		}
		return path
	case u.Path != "":
		return u.Path
	}
	return data
}

// with is c for a store that is opened with p.
func (c Config) with(p driver.Params) (Config, error) {
	if err := driver.CheckParameters(p.URL); err != nil {
		return c, fmt.Errorf("store/pebble: %w; its settings are those of store.pebble in the configuration", err)
	}
	if p.URL.Host != "" || p.URL.User != nil || p.Password != "" {
		return c, errors.New("store/pebble: the embedded store has no host, user or password: write pebble: or pebble:/path/of/a/folder")
	}
	c.Dir, c.Shards, c.IDRetention = Folder(p.URL, p.Dir), p.Shards, p.IDRetention
	if p.MemoryBytes > 0 {
		c.CacheBytes = min(c.CacheBytes, p.MemoryBytes/cacheShare>>20<<20)
		c.MemoryBytes = p.MemoryBytes - p.MemoryBytes/cacheShare
	}
	return c, nil
}

// report is what Check has to say of the folder.
func report(c Config) (driver.Report, error) {
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return driver.Report{}, err
	}
	r := driver.Report{
		Servers:    []driver.Server{{Address: dir, Version: "embedded store"}},
		Durability: "An accepted message is on this machine's disk, by an fsync before the answer: it survives a kill and a loss of power, and not the loss of the disk.",
	}
	err = Check(c)
	if r.InUse = errors.Is(err, ErrInUse); r.InUse {
		err = nil
	}
	return r, err
}
