package app

import (
	"net"
	"os"
	"strings"
	"testing"

	"ramen/link/linkgrpc"
)

// TestAdvertisedAddress: a gateway that listens on all addresses is reached by the name of its machine; and an address at which nobody else
// can reach it is refused.
func TestAdvertisedAddress(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	const remote, here = "10.0.0.1:7379", "127.0.0.1:7379"
	for _, c := range []struct {
		listen, advertise, etcd string
		want                    string // empty: it is refused
	}{
		{":7080", "", remote, net.JoinHostPort(name, "7080")},
		{"0.0.0.0:7080", "", remote, net.JoinHostPort(name, "7080")},
		{"[::]:7080", "", remote, net.JoinHostPort(name, "7080")},
		{"10.0.0.2:7080", "", remote, "10.0.0.2:7080"},
		{":7080", "gateway-1:7080", remote, "gateway-1:7080"},
		{"127.0.0.1:7080", "", here, "127.0.0.1:7080"},
		{"127.0.0.1:7080", "", "http://localhost:7379", "127.0.0.1:7080"},
		{":7080", "0.0.0.0:7080", remote, ""},
		{":7080", "[::]:7080", remote, ""},
		{":7080", ":7080", remote, ""},
		{":7080", "gateway-1", remote, ""},
		{"127.0.0.1:7080", "", remote, ""},
		{"127.0.0.1:7080", "", "https://etcd.example:2379", ""},
		{":7080", "localhost:7080", remote, ""},
	} {
		cfg := Config{Cluster: Cluster{Name: "a", Listen: c.listen, Advertise: c.advertise, Etcd: []string{c.etcd}}}
		cfg.completeCluster()
		err := cfg.Cluster.validateAdvertise()
		if (err == nil) != (c.want != "") || err == nil && cfg.Cluster.Advertise != c.want {
			t.Errorf("%+v: advertised is %s, error %v", c, cfg.Cluster.Advertise, err)
		}
	}
}

// TestEtcdUserAndPassword go together: etcd's client would use neither alone, and etcd refuse it with each call.
func TestEtcdUserAndPassword(t *testing.T) {
	for _, c := range []struct {
		user, file string
		good       bool
	}{{"", "", true}, {"ramen", "/run/secrets/etcd", true}, {"ramen", "", false}, {"", "/run/secrets/etcd", false}} {
		k := Cluster{EtcdUser: c.user, EtcdSecret: c.file}
		err := k.validateEtcdUser()
		if (err == nil) != c.good || err != nil && !strings.Contains(err.Error(), "etcd_password_file") {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestOpenEtcd: an etcd that is carried is not open to a network, and a password not sent over one, unless that is asked for.
func TestOpenEtcd(t *testing.T) {
	tls, plain := linkgrpc.SecurityConfig{CertFile: "cert.pem"}, linkgrpc.SecurityConfig{Plaintext: true}
	for _, c := range []struct {
		client, peer string
		security     linkgrpc.SecurityConfig
		good         bool
	}{
		{"127.0.0.1:7379", "127.0.0.1:7380", linkgrpc.SecurityConfig{}, true},
		{"10.0.0.1:7379", "127.0.0.1:7380", linkgrpc.SecurityConfig{}, false},
		{"127.0.0.1:7379", "10.0.0.1:7380", linkgrpc.SecurityConfig{SecretFile: "secret"}, false},
		{"0.0.0.0:7379", "127.0.0.1:7380", linkgrpc.SecurityConfig{}, false},
		{"10.0.0.1:7379", "10.0.0.1:7380", tls, true},
		{"10.0.0.1:7379", "10.0.0.1:7380", plain, true},
	} {
		k := Cluster{Security: c.security, Controller: Controller{Data: "data", Client: c.client, Peer: c.peer}}
		if err := k.validateCarried(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []struct {
		etcd     string
		security linkgrpc.SecurityConfig
		good     bool
	}{
		{"127.0.0.1:2379", linkgrpc.SecurityConfig{}, true},
		{"etcd.example:2379", linkgrpc.SecurityConfig{}, false},
		{"http://etcd.example:2379", linkgrpc.SecurityConfig{}, false},
		{"https://etcd.example:2379", linkgrpc.SecurityConfig{}, true},
		{"etcd.example:2379", tls, true},
		{"etcd.example:2379", plain, true},
	} {
		k := Cluster{Security: c.security, EtcdUser: "ramen", EtcdSecret: "/run/secrets/etcd", Etcd: []string{c.etcd}}
		if err := k.validateEtcdUser(); (err == nil) != c.good {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestWhatDoesNotGoTogether in a cluster is refused, by the names of the keys.
func TestWhatDoesNotGoTogether(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want string // empty: it is good
	}{
		{"view file", func(c *Config) { c.Cluster.ViewFile = "view.yaml" }, ""},
		{"view file and etcd", func(c *Config) { c.Cluster.ViewFile, c.Cluster.Etcd = "view.yaml", []string{"127.0.0.1:7379"} }, "cluster.view_file is for clusters without controllers"},
		{"view file and controller", func(c *Config) {
			c.Cluster.ViewFile, c.Role, c.Cluster.Controller.Data = "view.yaml", "gateway,controller", "etcd"
		}, "cluster.view_file is for clusters without controllers"},
		{"view file and a store of one process", func(c *Config) {
			c.Role, c.Cluster.ViewFile = "frontend", "view.yaml"
			setStore(c, "memory:")
		}, "need one that they share"},
		{"neither", func(*Config) {}, "cluster.view_file a file"},
		{"authorities alone", func(c *Config) {
			c.Cluster.ViewFile, c.Cluster.Security.CAFile = "view.yaml", "ca.pem"
		}, "security has ca_file without cert_file and key_file"},
		{"no authorities", func(c *Config) {
			c.Cluster.ViewFile, c.Cluster.Security.CertFile, c.Cluster.Security.KeyFile = "view.yaml", "c.pem", "k.pem"
		}, "security has cert_file and key_file without ca_file"},
	} {
		cfg := Default()
		cfg.Dev, cfg.Role, cfg.Cluster.Name = true, "gateway", "g1"
		setStore(&cfg, "redis://127.0.0.1:6379/0")
		c.edit(&cfg)
		cfg.complete()
		err := cfg.validateCluster()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func setStore(c *Config, url string) {
	if err := c.Store.URL.UnmarshalText([]byte(url)); err != nil {
		panic(err)
	}
}
