package cassandra

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/store/driver"
)

// config is what a URL says: cassandra://[user[:password]@]host[:port][,host[:port]...]/keyspace?parameter=value&...
type config struct {
	hosts    []string // host:port
	keyspace string
	user     string
	password string

	dc          string        // the only datacentre that is asked; empty: that of the first host that answers
	replication []replicas    // of a keyspace that Init creates
	serial      serial        // which datacentres decide on claims
	timeout     time.Duration // of one attempt of a write
	connections int           // a host
	inFlight    int           // writes
	inFlightMiB int           // MiB of writes
	loads       int           // users that are loaded at once
	slot        time.Duration // of a bucket; what Init writes is what counts
	maxTTL      time.Duration // of a message, as far as nobody has seen a longer one
	deviceTTL   time.Duration // of a device's record, from when it was saved last
	tls         bool
	ca          string // file; empty: the system's authorities
	cert, key   string // files, of a client's certificate
	serverName  string // in the servers' certificates; empty: the address
}

// replicas is how many copies a datacentre has.
type replicas struct {
	dc string // empty: every datacentre
	n  int
}

// serial is which datacentres take part in a lightweight transaction.
type serial string

const (
	serialLocal  serial = "local"
	serialGlobal serial = "global"
)

// reads is the consistency of reads that see every transaction.
func (s serial) reads() gocql.Consistency {
	if s == serialGlobal {
		return gocql.Serial
	}
	return gocql.LocalSerial
}

// The bounds that parameters are checked against.
const (
	defaultPort = "9042"
	maxTTLMost  = 30 * 24 * time.Hour // PublishLimits has the same
)

func defaults() config {
	return config{
		replication: []replicas{{n: 3}},
		serial:      serialLocal,
		timeout:     150 * time.Millisecond,
		connections: 2,
		inFlight:    4096,
		inFlightMiB: 64,
		loads:       64,
		slot:        10 * time.Minute,
		maxTTL:      24 * time.Hour,
		deviceTTL:   90 * 24 * time.Hour,
	}
}

// parameters is what a URL's query may have, with what each is for.
var parameters = map[string]struct {
	what string
	set  func(c *config, v string) error
}{
	"dc":           {"the datacentre that is asked", setText(func(c *config) *string { return &c.dc })},
	"replication":  {"copies of a keyspace that init creates: a number, or dc1:3,dc2:3", setReplication},
	"serial":       {"which datacentres decide on claims: local or global", setSerial},
	"timeout":      {"of one attempt of a write, from 10ms to 10s", setDuration(func(c *config) *time.Duration { return &c.timeout }, 10*time.Millisecond, 10*time.Second)},
	"connections":  {"a host, from 1 to 64", setInt(func(c *config) *int { return &c.connections }, 1, 64)},
	"in_flight":    {"the most writes under way, from 1 to 30000", setInt(func(c *config) *int { return &c.inFlight }, 1, 30_000)},
	"in_flight_mb": {"the most MiB of writes under way, from 2 to 4096", setInt(func(c *config) *int { return &c.inFlightMiB }, 2, 4096)},
	"loads":        {"the most users that are loaded at once, from 1 to 4096", setInt(func(c *config) *int { return &c.loads }, 1, 4096)},
	"slot":         {"the time that one partition of a user spans, written by init, from 1s to 24h", setDuration(func(c *config) *time.Duration { return &c.slot }, time.Second, 24*time.Hour)},
	"max_ttl":      {"the longest life of a message, written by init, from 1s to 720h", setDuration(func(c *config) *time.Duration { return &c.maxTTL }, time.Second, maxTTLMost)},
	"device_ttl":   {"how long the record of a device is kept that is not saved any more, from 1h to 17520h", setDuration(func(c *config) *time.Duration { return &c.deviceTTL }, time.Hour, 2*365*24*time.Hour)},
	"tls":          {"true or false", setBool(func(c *config) *bool { return &c.tls })},
	"ca":           {"a PEM file of the authorities that sign the servers' certificates", setText(func(c *config) *string { return &c.ca })},
	"cert":         {"a PEM file with the client's certificate", setText(func(c *config) *string { return &c.cert })},
	"key":          {"a PEM file with the key of the client's certificate", setText(func(c *config) *string { return &c.key })},
	"server_name":  {"the name in the servers' certificates", setText(func(c *config) *string { return &c.serverName })},
}

// nameOfKeyspace is a keyspace that needs no quotes in CQL.
var nameOfKeyspace = regexp.MustCompile(`^[a-z][a-z0-9_]{0,47}$`)

// parse reads a URL. No error has the password in it.
func parse(p driver.Params) (config, error) {
	c := defaults()
	u := p.URL
	if u == nil {
		return c, errors.New("there is no URL")
	}
	hosts, err := parseHosts(u.Host)
	if err != nil {
		return c, err
	}
	c.hosts = hosts
	c.keyspace = strings.TrimPrefix(u.Path, "/")
	if !nameOfKeyspace.MatchString(c.keyspace) {
		return c, fmt.Errorf("keyspace %q: it must follow the hosts as /name, of 1 to 48 lower case letters, digits and _, and begin with a letter", c.keyspace)
	}
	if u.User != nil {
		c.user = u.User.Username()
		c.password, _ = u.User.Password()
	}
	if p.Password != "" {
		c.password = p.Password
	}
	if err := c.setAll(u.RawQuery); err != nil {
		return c, err
	}
	return c, c.check()
}

func parseHosts(list string) ([]string, error) {
	var hosts []string
	for h := range strings.SplitSeq(list, ",") {
		host, port, err := net.SplitHostPort(h)
		if err != nil {
			host, port = strings.Trim(h, "[]"), defaultPort
		}
		if n, err := strconv.ParseUint(port, 10, 16); host == "" || err != nil || n == 0 {
			return nil, fmt.Errorf("host %q: it must be host or host:port, several with commas between them", h)
		}
		hosts = append(hosts, net.JoinHostPort(host, port))
	}
	return hosts, nil
}

func (c *config) setAll(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the parameters of the URL cannot be read: name=value, with & between them")
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		p, ok := parameters[name]
		if !ok {
			return fmt.Errorf("unknown parameter %q: there are %s", name, strings.Join(slices.Sorted(maps.Keys(parameters)), ", "))
		}
		if len(values[name]) != 1 {
			return fmt.Errorf("parameter %s is there %d times", name, len(values[name]))
		}
		if v := values[name][0]; p.set(c, v) != nil {
			return fmt.Errorf("parameter %s is %q: %s", name, v, p.what)
		}
	}
	return nil
}

func (c *config) check() error {
	switch {
	case (c.cert == "") != (c.key == ""):
		return errors.New("parameters cert and key: set both or none")
	case !c.tls && (c.ca != "" || c.cert != "" || c.serverName != ""):
		return errors.New("parameters ca, cert, key and server_name need tls=true")
	case c.user == "" && c.password != "":
		return errors.New("there is a password, and no user in the URL")
	}
	return nil
}

var errValue = errors.New("bad value")

func setText(of func(*config) *string) func(*config, string) error {
	return func(c *config, v string) error {
		if v == "" {
			return errValue
		}
		*of(c) = v
		return nil
	}
}

func setInt(of func(*config) *int, least, most int) func(*config, string) error {
	return func(c *config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return errValue
		}
		*of(c) = n
		return nil
	}
}

func setDuration(of func(*config) *time.Duration, least, most time.Duration) func(*config, string) error {
	return func(c *config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return errValue
		}
		*of(c) = d
		return nil
	}
}

func setBool(of func(*config) *bool) func(*config, string) error {
	return func(c *config, v string) error {
		b, err := strconv.ParseBool(v)
		*of(c) = b
		return err
	}
}

func setSerial(c *config, v string) error {
	c.serial = serial(v)
	if c.serial != serialLocal && c.serial != serialGlobal {
		return errValue
	}
	return nil
}

// nameOfDatacentre is what may stand between quotes in CQL.
var nameOfDatacentre = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

func setReplication(c *config, v string) error {
	if n, err := strconv.Atoi(v); err == nil && n >= 1 && n <= 9 {
		c.replication = []replicas{{n: n}}
		return nil
	}
	c.replication = nil
	for one := range strings.SplitSeq(v, ",") {
		dc, number, _ := strings.Cut(one, ":")
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > 9 || !nameOfDatacentre.MatchString(dc) {
			return errValue
		}
		c.replication = append(c.replication, replicas{dc, n})
	}
	return nil
}
