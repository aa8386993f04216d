package stores

import (
	"errors"
	"fmt"
	"time"

	"ramen/store/driver"
	"ramen/store/pebble"
)

// Config says which store keeps the mailboxes.
type Config struct {
	URL               driver.URL    `yaml:"url" flag:"store" secret:"part" doc:"Which store keeps the mailboxes. pebble: is the embedded store, in the folder data: it is durable, and one process at a time can use it (pebble:/path is one in another folder). redis://user@host:port/db is a Redis server (rediss: with TLS), redis+sentinel://host,host/master one behind Sentinel, redis+cluster://host,host a Redis Cluster; cassandra://host,host/keyspace?dc=name is a Cassandra cluster. memory: is for tests: its data is lost when the process ends. ramen store check URL says what a store really keeps."`
	PasswordFile      string        `yaml:"password_file" doc:"File with the password of the user in url, read at the start. The URL itself can have it as well (redis://user:password@host), or store.password."`
	Password          string        `yaml:"password" secret:"true" doc:"The password of the user in url, for the environment: RAMEN_STORE_PASSWORD."`
	Cache             driver.URL    `yaml:"cache" flag:"cache" secret:"part" doc:"Cache before the store: a Redis, where url is a Cassandra. Empty: none."`
	CachePasswordFile string        `yaml:"cache_password_file" doc:"File with the password of the user in cache."`
	CachePassword     string        `yaml:"cache_password" secret:"true" doc:"The password of the user in cache, for the environment: RAMEN_STORE_CACHE_PASSWORD."`
	Kind              string        `yaml:"kind" doc:"Deprecated: use url. pebble stands for pebble:, memory for memory:."`
	Pebble            pebble.Config `yaml:"pebble" doc:"The embedded store. It is durable: what is accepted is on disk."`

	// MemoryBytes is what the store should take in memory at most; 0: there is plenty.
	MemoryBytes int64 `yaml:"-"`
}

// embedded is the URL of the store that there is where none is named.
const embedded = "pebble:"

// Default is the embedded store.
func Default() Config {
	u, err := driver.ParseURL(embedded)
	if err != nil {
		panic(err) // a constant
	}
	return Config{URL: u, Pebble: pebble.Default()}
}

// Complete fills in what follows from other values: data is the folder of the embedded store.
func (c *Config) Complete(data string, shards int, retention time.Duration) {
	c.settleURL()
	c.Pebble.Dir, c.Pebble.Shards, c.Pebble.IDRetention = data, shards, retention
}

func (c *Config) settleURL() {
	if named := c.Kind + ":"; c.URL.IsZero() || !c.URL.Written() && c.kindIsKnown() {
		if c.Kind == "" {
			named = embedded
		}
		if u, err := driver.ParseURL(named); err == nil { // else Validate says so
			c.URL = u
		}
	}
}

func (c *Config) kindIsKnown() bool { return c.Kind == "pebble" || c.Kind == "memory" }

// Validate says what is wrong with c. Nothing is read and nobody is asked.
func (c *Config) Validate() error {
	c.settleURL()
	errs := []error{c.Pebble.Validate(), c.checkKind(), c.checkTier()}
	_, err := c.find(c.URL)
	errs = append(errs, prefix("store.url", err))
	errs = append(errs, prefix("store.password", onePassword(c.URL, c.Password, c.PasswordFile)))
	if !c.Cache.IsZero() {
		errs = append(errs, prefix("store.cache_password", onePassword(c.Cache, c.CachePassword, c.CachePasswordFile)))
	} else if c.CachePassword+c.CachePasswordFile != "" {
		errs = append(errs, errors.New("store.cache_password is of a cache, and store.cache names none"))
	}
	return errors.Join(errs...)
}

func (c *Config) checkKind() error {
	switch {
	case c.Kind == "":
		return nil
	case !c.kindIsKnown():
		return fmt.Errorf("store.kind is %q; leave it out, and name the store by store.url, such as pebble: or memory: for tests", c.Kind)
	case c.URL.Scheme() != c.Kind:
		return fmt.Errorf("store.kind is %s, but store.url is %s: leave out store.kind", c.Kind, c.URL)
	}
	return nil
}

// checkTier says whether there is a store of url with cache before it.
func (c *Config) checkTier() error {
	if c.Cache.IsZero() {
		return nil
	}
	_, err := findTier(c.URL, c.Cache)
	return prefix("store.cache", err)
}

// onePassword refuses a password that is given more than once: nobody knows which one is meant.
func onePassword(u driver.URL, text, file string) error {
	_, inURL := u.Password()
	given := 0
	for _, is := range []bool{inURL, text != "", file != ""} {
		if is {
			given++
		}
	}
	if given > 1 {
		return errors.New("the password is given more than once: in the URL, as a value (or RAMEN_STORE_…PASSWORD) and by a file; use one of them")
	}
	return nil
}

func prefix(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}
