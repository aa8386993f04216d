package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"ramen/link/linkgrpc"
)

// Role is what a process does in a cluster.
type Role string

// The roles.
const (
	RoleFrontend   Role = "frontend"
	RoleGateway    Role = "gateway"
	RoleController Role = "controller"
)

// Cluster is how a process takes part in a cluster. It counts only where there is a role.
type Cluster struct {
	Name       string        `yaml:"name" doc:"Name of this member, which it keeps when it is started again. Default: the name of the machine."`
	Zone       string        `yaml:"zone" doc:"Where this member stands: a datacentre, a rack. Zones share the users by the weights of their gateways; a shard that moves stays in its zone where it can."`
	Weight     float64       `yaml:"weight" doc:"Share of the users that this gateway takes, beside the weights of the others. From 0 to 1000; 0: none."`
	ViewFile   string        `yaml:"view_file" doc:"File that says which gateway is to have which users, for a cluster without controllers; the same on all its frontends and gateways, which all need the store then. It is read again when it changes."`
	Etcd       []string      `yaml:"etcd" doc:"Addresses of the controllers' etcd, or of another one, as host:port. On a controller that carries etcd, its own if empty."`
	Prefix     string        `yaml:"prefix" doc:"What the keys of this cluster begin with in etcd. It ends with a slash."`
	EtcdUser   string        `yaml:"etcd_user" doc:"User name for an etcd that asks for one."`
	EtcdSecret string        `yaml:"etcd_password_file" doc:"File with the password for etcd."`
	Listen     string        `yaml:"listen" doc:"Address as host:port where a gateway takes links from frontends."`
	Advertise  string        `yaml:"advertise" doc:"Address as host:port at which frontends reach this gateway, straight and without a proxy. Default: the host of listen, or the name of the machine, with the port of listen."`
	StartTime  time.Duration `yaml:"start_time" doc:"The longest time that a start waits for the controllers. From 1s to 10m."`

	Security   linkgrpc.SecurityConfig `yaml:"security" doc:"How the members of the cluster know each other. The certificate is for links, and for etcd."`
	Link       linkgrpc.Config         `yaml:"link" doc:"Links between frontends and gateways."`
	Controller Controller              `yaml:"controller" doc:"What a controller is."`
}

// Controller is how a controller keeps the cluster's registry.
type Controller struct {
	Data    string `yaml:"data" doc:"Folder of the etcd that this controller carries. Empty: it carries none, and uses the one at cluster.etcd."`
	Client  string `yaml:"client" doc:"Address as host:port where the etcd that this controller carries is asked."`
	Peer    string `yaml:"peer" doc:"Address as host:port where the other controllers reach it."`
	Members string `yaml:"members" doc:"All controllers of a new cluster, as name=host:port of their peer addresses, separated by commas. Empty: this one alone."`
	Join    bool   `yaml:"join" doc:"This controller joins others that are there already: add it with 'ramen cluster controllers add' before."`
	Probe   bool   `yaml:"probe" doc:"Take a gateway for gone as soon as nobody listens at its address. Turn it off where a proxy stands before gateways: it may refuse for them."`
	Moves   int    `yaml:"moves" doc:"The most shards that are moved at once from a gateway that serves them. From 1 to 1024."`
}

func defaultCluster() Cluster {
	return Cluster{
		Weight: 1, Prefix: "/ramen/", Listen: ":7080", StartTime: time.Minute, Link: linkgrpc.Default(),
		Controller: Controller{Client: "127.0.0.1:7379", Peer: "127.0.0.1:7380", Probe: true, Moves: 32},
	}
}

// roles are those that c.Role names, in order; none: the process stands alone.
func (c *Config) roles() (roles []Role, err error) {
	for name := range strings.SplitSeq(c.Role, ",") {
		switch r := Role(strings.TrimSpace(name)); {
		case r == "":
		case r != RoleFrontend && r != RoleGateway && r != RoleController:
			return nil, fmt.Errorf("role is %q; it must be frontend, gateway or controller, or several of them separated by commas, or empty", c.Role)
		case !slices.Contains(roles, r):
			roles = append(roles, r)
		}
	}
	return roles, nil
}

// has reports whether the process has a role. One that stands alone has none.
func (c *Config) has(r Role) bool {
	roles, _ := c.roles()
	return slices.Contains(roles, r)
}

// Clustered reports whether the process is a member of a cluster.
func (c *Config) Clustered() bool {
	roles, _ := c.roles()
	return len(roles) > 0
}

// serves reports whether the process has the frontend's ports, and gateway whether it has a gateway.
func (c *Config) serves() bool   { return !c.Clustered() || c.has(RoleFrontend) }
func (c *Config) gateways() bool { return !c.Clustered() || c.has(RoleGateway) }

// completeCluster fills in what follows from the machine.
func (c *Config) completeCluster() {
	k := &c.Cluster
	if k.Name == "" {
		k.Name, _ = os.Hostname()
	}
	if len(k.Etcd) == 0 && c.has(RoleController) && k.Controller.Data != "" {
		k.Etcd = []string{k.Controller.Client}
	}
	if c.Dev {
		k.Listen = loopback(k.Listen)
	}
	if k.Advertise == "" {
		if host, port, err := net.SplitHostPort(k.Listen); err == nil {
			if unspecified(host) {
				host, _ = os.Hostname()
			}
			k.Advertise = net.JoinHostPort(host, port)
		}
	}
}

func (c *Config) validateCluster() error {
	roles, err := c.roles()
	if err != nil || len(roles) == 0 {
		return err
	}
	k := &c.Cluster
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if k.Name == "" || strings.ContainsAny(k.Name, "@/, ") {
		bad("cluster.name is %q; it must be a name without spaces, commas, slashes and @", k.Name)
	}
	if k.Weight < 0 || k.Weight > 1000 {
		bad("cluster.weight is %v; it must be 0 to 1000", k.Weight)
	}
	switch {
	case k.ViewFile != "" && (len(k.Etcd) > 0 || c.has(RoleController)):
		bad("cluster.view_file is for clusters without controllers; take it away, or cluster.etcd and the role controller")
	case k.ViewFile == "" && len(k.Etcd) == 0:
		bad("cluster.etcd is empty; it must name the controllers, such as 10.0.0.1:7379, or cluster.controller.data a folder for this one's own etcd; or cluster.view_file a file, for a cluster without controllers")
	}
	if !strings.HasSuffix(k.Prefix, "/") {
		bad("cluster.prefix is %q; it must end with a slash, such as /ramen/", k.Prefix)
	}
	if k.StartTime < time.Second || k.StartTime > 10*time.Minute {
		bad("cluster.start_time is %v; it must be 1s to 10m", k.StartTime)
	}
	if k.Controller.Moves < 1 || k.Controller.Moves > 1024 {
		bad("cluster.controller.moves is %d; it must be 1 to 1024", k.Controller.Moves)
	}
	if c.has(RoleGateway) || k.ViewFile != "" {
		if scheme := c.Store.URL.Scheme(); scheme == "pebble" || scheme == "memory" {
			bad("store.url is %s, which one process alone can use; the members of a cluster need one that they share: redis:, cassandra:", c.Store.URL)
		}
	}
	errs = append(errs, k.Security.Validate(), k.validateEtcdUser())
	if c.has(RoleController) {
		errs = append(errs, k.validateCarried())
	}
	if c.has(RoleGateway) && k.ViewFile == "" {
		errs = append(errs, k.validateAdvertise())
	}
	return errors.Join(append(errs, k.Link.Validate())...)
}

// validateEtcdUser finds a user without a password, and a password without a user: etcd's client would use neither.
func (k *Cluster) validateEtcdUser() error {
	if (k.EtcdUser == "") != (k.EtcdSecret == "") {
		return errors.New("cluster.etcd_user and cluster.etcd_password_file must be set together, or neither")
	}
	plain := func(addr string) bool { return !strings.HasPrefix(addr, "https://") && !isLoopback(hostOf(addr)) }
	if k.EtcdUser != "" && !k.encrypts() && slices.ContainsFunc(k.Etcd, plain) {
		return errors.New("cluster.etcd_password_file would be sent to another machine without TLS; set cluster.security.cert_file, or https:// in cluster.etcd, or cluster.security.plaintext to allow it")
	}
	return nil
}

// encrypts reports whether members have TLS, or are to do without it.
func (k *Cluster) encrypts() bool { return k.Security.Plaintext || k.Security.CertFile != "" }

// validateCarried finds an etcd that whoever is on the network could write to: it asks for a certificate, or for nothing.
func (k *Cluster) validateCarried() error {
	if k.Controller.Data == "" || k.encrypts() {
		return nil
	}
	for _, addr := range []string{k.Controller.Client, k.Controller.Peer} {
		if !isLoopback(hostOf(addr)) {
			return fmt.Errorf("the etcd of this controller would be open at %s to whoever is on the network; set cluster.security.cert_file, or cluster.security.plaintext to allow it", addr)
		}
	}
	return nil
}

// validateAdvertise finds addresses at which no other member reaches this gateway.
func (k *Cluster) validateAdvertise() error {
	host, port, err := net.SplitHostPort(k.Advertise)
	switch {
	case err != nil || port == "" || unspecified(host):
		return fmt.Errorf("cluster.advertise is %q; it must be the host:port at which frontends reach this gateway", k.Advertise)
	case isLoopback(host) && slices.ContainsFunc(k.Etcd, func(addr string) bool { return !isLoopback(hostOf(addr)) }):
		return fmt.Errorf("cluster.advertise is %q, a loopback address, which members on other machines cannot reach, and cluster.etcd is on another machine; set cluster.advertise to an address of this machine, or cluster.listen", k.Advertise)
	}
	return nil
}

// hostOf is the host of a host:port or URL.
func hostOf(addr string) string {
	if _, rest, is := strings.Cut(addr, "://"); is {
		addr, _, _ = strings.Cut(rest, "/")
	}
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}

// unspecified reports whether a port on host is open on all addresses of the machine.
func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func loopback(addr string) string {
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return addr
}
