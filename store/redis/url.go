package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"ramen/store/driver"
)

// schemes are those of URLs, and what they mean.
var schemes = map[string]struct {
	mode Mode
	tls  bool
	port int // where the URL has none
}{
	"redis":           {Single, false, 6379},
	"rediss":          {Single, true, 6379},
	"redis+sentinel":  {Sentinel, false, 26379},
	"rediss+sentinel": {Sentinel, true, 26379},
	"redis+cluster":   {Cluster, false, 6379},
	"rediss+cluster":  {Cluster, true, 6379},
}

var parameters = []string{
	"durability", "replicas", "prefix", "db", "device_ttl", "pool_size", "pipelines", "max_in_flight", "max_in_flight_bytes", "dial_timeout",
	"ca", "cert", "key", "server_name", "sentinel_user", "sentinel_auth",
}

// configFrom reads the configuration that a URL names:
//
//	redis://user@host:port/db?durability=fsync       rediss:// with TLS
//	redis+sentinel://host:port,host:port/master?db=0
//	redis+cluster://host:port,host:port
func configFrom(p driver.Params) (Config, error) {
	cfg := Config{Password: p.Password, Cache: p.Cache, Shards: p.Shards, IDRetention: p.IDRetention, Log: p.Log, Registerer: p.Registerer}
	scheme, ok := schemes[p.URL.Scheme]
	if !ok {
		return cfg, fmt.Errorf("store/redis: %q is no scheme of Redis", p.URL.Scheme)
	}
	cfg.Mode = scheme.mode
	if p.URL.User != nil {
		cfg.Username = p.URL.User.Username()
	}
	var err error
	if cfg.Addrs, err = driver.Hosts(p.URL, scheme.port); err != nil {
		return cfg, fmt.Errorf("store/redis: %w", err)
	}
	if err := driver.CheckParameters(p.URL, parameters...); err != nil {
		return cfg, fmt.Errorf("store/redis: %w", err)
	}
	q := values{p.URL.Query(), nil}
	q.path(&cfg, strings.Trim(p.URL.Path, "/"))
	q.all(&cfg)
	if q.err == nil {
		q.tls(&cfg, scheme.tls)
	}
	if q.err != nil {
		return cfg, fmt.Errorf("store/redis: %w", q.err)
	}
	cfg.Defaults()
	return cfg, cfg.Validate()
}

// values reads the parameters of a URL. The first error stays.
type values struct {
	url.Values
	err error
}

func (q *values) fail(format string, args ...any) {
	if q.err == nil {
		q.err = fmt.Errorf(format, args...)
	}
}

// path reads what stands behind the hosts.
func (q *values) path(cfg *Config, path string) {
	switch cfg.Mode {
	case Single:
		if path != "" {
			n, err := strconv.Atoi(path)
			if err != nil || q.Has("db") {
				q.fail("the path %q is no number of a database: write redis://host:port/0", path)
			}
			cfg.DB = n
		}
	case Sentinel:
		if cfg.Master = path; path == "" {
			q.fail("the URL does not name the master: write redis+sentinel://host:port,host:port/master")
		}
	case Cluster:
		if path != "" && path != "0" {
			q.fail("a cluster has one database, without a number: leave %q out", path)
		}
	}
}

func (q *values) all(cfg *Config) {
	switch d := q.Get("durability"); d {
	case "", "reply":
	case "replicas":
		cfg.Durability = Replicas
	case "fsync":
		cfg.Durability = Fsync
	default:
		q.fail("durability is %q: it must be reply, replicas or fsync", d)
	}
	q.int("replicas", func(n int) { cfg.Replicas = n })
	q.int("db", func(n int) { cfg.DB = n })
	q.int("pool_size", func(n int) { cfg.PoolSize = n })
	q.int("pipelines", func(n int) { cfg.Pipelines = n })
	q.int("max_in_flight", func(n int) { cfg.MaxInFlight = n })
	q.int("max_in_flight_bytes", func(n int) { cfg.MaxInFlightBytes = int64(n) })
	q.duration("dial_timeout", &cfg.DialTimeout)
	q.duration("device_ttl", &cfg.DeviceTTL)
	cfg.Prefix = q.Get("prefix")
	cfg.SentinelUsername = q.Get("sentinel_user")
	if name := q.Get("sentinel_auth"); name != "" {
		b, err := os.ReadFile(name)
		if err != nil {
			q.fail("sentinel_auth, the file with the sentinels' password: %w", err)
		}
		cfg.SentinelPassword = strings.TrimRight(string(b), "\r\n")
	}
}

func (q *values) int(name string, set func(int)) {
	if !q.Has(name) {
		return
	}
	n, err := strconv.Atoi(q.Get(name))
	if err != nil {
		q.fail("%s is %q: it must be a number", name, q.Get(name))
		return
	}
	set(n)
}

func (q *values) duration(name string, to *time.Duration) {
	if !q.Has(name) {
		return
	}
	d, err := time.ParseDuration(q.Get(name))
	if err != nil || d <= 0 {
		q.fail("%s is %q: it must be a time such as 300ms or 720h", name, q.Get(name))
		return
	}
	*to = d
}

// tls reads how servers are known, and how we are.
func (q *values) tls(cfg *Config, on bool) {
	ca, cert, key, name := q.Get("ca"), q.Get("cert"), q.Get("key"), q.Get("server_name")
	if !on {
		if ca+cert+key+name != "" {
			q.fail("ca, cert, key and server_name are of TLS: write rediss for redis in the scheme")
		}
		return
	}
	cfg.TLS = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if name == "" && cfg.Mode == Single {
		cfg.TLS.ServerName, _, _ = net.SplitHostPort(cfg.Addrs[0])
	}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			q.fail("ca: %w", err)
			return
		}
		cfg.TLS.RootCAs = x509.NewCertPool()
		if !cfg.TLS.RootCAs.AppendCertsFromPEM(pem) {
			q.fail("ca: there is no certificate in %s", ca)
		}
	}
	if (cert == "") != (key == "") {
		q.fail("cert and key go together")
		return
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			q.fail("cert and key: %w", err)
			return
		}
		cfg.TLS.Certificates = []tls.Certificate{pair}
	}
}

var errNoServer = errors.New("no server was reached")
