package redistest

import (
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ramen/internal/testcert"
)

// writeConf writes redis.conf into dir. The server itself writes into it later: users, replication, what sentinels say.
func writeConf(dir, addr string, o Options, ca *testcert.Certificate) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	conf := Config{
		"bind":       host,
		"port":       port,
		"dir":        strconv.Quote(dir),
		"save":       `""`,
		"appendonly": "no",
		// What DEBUG does to a server, tests may want to do.
		"enable-debug-command": "local",
		// A replica's first copy otherwise waits 5 s for others.
		"repl-diskless-sync-delay": "0",
		// Clients of a cluster are not told of a replica that has received nothing, and without writes it receives these pings alone.
		"repl-ping-replica-period": "1",
	}
	if o.Place != nil { // clients are not of the same address, so that there it is for a server to let them in
		conf["protected-mode"], conf["enable-debug-command"] = "no", "yes"
	}
	if ca != nil {
		if err := tlsConf(conf, dir, host, ca); err != nil {
			return err
		}
	}
	users(conf, o)
	maps.Copy(conf, o.Config)
	return os.WriteFile(filepath.Join(dir, "redis.conf"), []byte(conf.text()), 0o600)
}

// text is c as lines of redis.conf. A value of several lines is a setting that stands there as often; an empty one is left out.
func (c Config) text() string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c)) {
		if c[key] == "" {
			continue
		}
		for value := range strings.SplitSeq(c[key], "\n") {
			fmt.Fprintf(&text, "%s %s\n", key, value)
		}
	}
	return text.String()
}

// users sets who may do something, and as whom replicas come.
func users(conf Config, o Options) {
	switch {
	case o.User != "":
		// Redis 7.0 replays the transactions of its log as the user default: without rights it would lose them.
		conf["user"] = "default off resetpass ~* &* +@all\n" + o.User + " on >" + o.Password + " ~* &* +@all"
		conf["masteruser"] = o.User
		conf["masterauth"] = o.Password
	case o.Password != "":
		conf["requirepass"] = o.Password
		conf["masterauth"] = o.Password
	}
}

func tlsConf(conf Config, dir, host string, ca *testcert.Certificate) error {
	cert, key, err := ca.Issue("redistest", host, proxyHost, "localhost").WriteFiles(dir)
	if err != nil {
		return err
	}
	authority := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(authority, ca.CertPEM, 0o600); err != nil {
		return err
	}
	conf["tls-port"], conf["port"] = conf["port"], "0"
	conf["tls-cert-file"] = strconv.Quote(cert)
	conf["tls-key-file"] = strconv.Quote(key)
	conf["tls-ca-cert-file"] = strconv.Quote(authority)
	conf["tls-auth-clients"] = "no"
	conf["tls-replication"] = "yes"
	conf["tls-cluster"] = "yes"
	return nil
}
