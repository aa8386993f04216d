package stores

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"ramen/store/cassandra"
	"ramen/store/driver"
	"ramen/store/memory"
	"ramen/store/pebble"
	"ramen/store/redis"
	"ramen/store/tiered"
)

// drivers are the kinds of stores.
func drivers(embedded pebble.Config) []driver.Driver {
	return []driver.Driver{pebble.Driver(embedded), memory.Driver(), redis.Driver(), cassandra.Driver()}
}

// tiers are the kinds of caches before a store.
var tiers = []driver.Tier{tiered.Tier()}

// Place is a store by its URL, with the driver that opens it.
type Place struct {
	driver.Driver
	URL      driver.URL
	password string
}

// Place is the store of url, with its password.
func (c *Config) Place() (Place, error) { return c.place("store", c.URL, c.Password, c.PasswordFile) }

// CachePlace is the store of cache.
func (c *Config) CachePlace() (Place, error) {
	return c.place("store.cache", c.Cache, c.CachePassword, c.CachePasswordFile)
}

// PlaceAt is the store of another URL, such as a command is given: with the password that is in it, or in the file, or that of the
// configuration, unless that is of a store elsewhere.
func (c *Config) PlaceAt(u driver.URL, passwordFile string) (Place, error) {
	_, has := u.Password()
	ours := u.String() == c.URL.String() || !c.URL.Written()
	if ours && !has && passwordFile == "" && u.Location().Host != "" {
		if _, has := c.URL.Password(); has {
			u = c.URL
		}
		return c.place("store", u, c.Password, c.PasswordFile)
	}
	return c.place("store", u, "", passwordFile)
}

func (c *Config) place(what string, u driver.URL, password, file string) (Place, error) {
	d, err := c.find(u)
	if err == nil {
		err = onePassword(u, password, file)
	}
	p := Place{Driver: d, URL: u, password: password}
	if inURL, has := u.Password(); has {
		p.password = inURL
	}
	if err == nil && file != "" {
		p.password, err = readPassword(file)
	}
	return p, prefix(what, err)
}

// readPassword reads a file with a password, and perhaps the end of its line.
func readPassword(file string) (string, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("read the password: %s must have one line with the password, and nothing else", file)
	}
	return password, nil
}

// Params are base for this place.
func (p Place) Params(base driver.Params) driver.Params {
	base.URL, base.Password = p.URL.Location(), p.password
	return base
}

// Look is what the driver has found out without changing anything.
func (p Place) Look(ctx context.Context, base driver.Params) (driver.Report, error) {
	return p.Check(ctx, p.Params(base))
}

// find is the driver of u.
func (c *Config) find(u driver.URL) (driver.Driver, error) {
	var schemes []string
	for _, d := range drivers(c.Pebble) {
		if slices.Contains(d.Schemes, u.Scheme()) {
			return d, nil
		}
		for _, s := range d.Schemes {
			schemes = append(schemes, s+":")
		}
	}
	if u.IsZero() {
		return driver.Driver{}, fmt.Errorf("it names no store: there are %s", strings.Join(schemes, ", "))
	}
	return driver.Driver{}, fmt.Errorf("there is no store of the scheme %q: there are %s", u.Scheme(), strings.Join(schemes, ", "))
}

// findTier is how a cache is put before a store.
func findTier(kept, cache driver.URL) (driver.Tier, error) {
	taken := false
	for _, t := range tiers {
		if !slices.Contains(t.Kept, kept.Scheme()) {
			continue
		}
		if taken = true; slices.Contains(t.Caches, cache.Scheme()) {
			return t, nil
		}
	}
	if !taken {
		return driver.Tier{}, fmt.Errorf("the store %s takes no cache: leave it out", kept)
	}
	return driver.Tier{}, errors.New("a store of the scheme " + cache.Scheme() + ": cannot be a cache")
}
