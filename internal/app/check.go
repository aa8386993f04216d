package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"

	"ramen/frontend/auth"
	"ramen/topology/viewfile"
)

// Check says what would keep a process of cfg, which must be valid, from starting now: files of keys and certificates that cannot be
// read, a store that cannot be used, ports that cannot be opened. It changes nothing. Where a process serves from the store, which
// is most likely the one that the configuration is for, running says so, and ports that are in use are taken for its own.
func Check(cfg Config, log *slog.Logger) (running bool, _ error) {
	files := checkFiles(&cfg, log)
	running, err := checkStore(&cfg, log)
	return running, errors.Join(files, err, checkPorts(&cfg, running))
}

// checkStore looks at the store. What is wrong with it and does not keep it from being opened goes to log.
func checkStore(cfg *Config, log *slog.Logger) (inUse bool, _ error) {
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	p := cfg.StoreParams()
	p.Log = log
	r, err := cfg.Store.Check(ctx, p)
	for _, problem := range r.Problems {
		log.Warn("store: " + problem)
	}
	return r.InUse, err
}

// checkFiles reads the files of keys and certificates. What serve would warn about goes to log.
func checkFiles(cfg *Config, log *slog.Logger) error {
	if err := cfg.checkPresent(); err != nil {
		return err
	}
	w := auth.NewWatcher(cfg.Auth.ReloadInterval, log, nil)
	_, _, err := loadCredentials(cfg, w)
	_, devices := certs(cfg.TLS.Devices, w)
	_, backends := certs(cfg.TLS.Backends, w)
	return errors.Join(err, devices, backends, checkViewFile(cfg, log), w.Close())
}

// checkViewFile reads the view file, where there is one. What serve would tell goes to log.
func checkViewFile(cfg *Config, log *slog.Logger) error {
	k := &cfg.Cluster
	if !cfg.Clustered() || k.ViewFile == "" {
		return nil
	}
	f, err := viewfile.Read(k.ViewFile, cfg.Shards)
	if err != nil {
		return fmt.Errorf("app: cluster.view_file: %w", err)
	}
	if _, named := f.Members[k.Name]; cfg.has(RoleGateway) && !named {
		log.Warn("the view file does not name this gateway: it has no users until it does", "name", k.Name, "file", k.ViewFile)
	}
	return nil
}

// checkPorts opens the ports, all at once, as serve does, and closes them.
func checkPorts(cfg *Config, running bool) error {
	var errs []error
	var opened []port
	for _, p := range cfg.ports() {
		l, err := p.open(context.Background(), p.addr)
		if err != nil {
			if err = portError(p, opened, err); !running || !errors.Is(err, syscall.EADDRINUSE) {
				errs = append(errs, err)
			}
			continue
		}
		p.listener = l
		opened = append(opened, p)
	}
	for _, p := range opened {
		_ = p.listener.Close()
	}
	return errors.Join(errs...)
}

// portError says which port could not be opened, and which of ours has the address.
func portError(p port, opened []port, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		for _, o := range opened {
			if _, mine, _ := net.SplitHostPort(o.listener.Addr().String()); mine != "" && strings.HasSuffix(p.addr, ":"+mine) {
				return fmt.Errorf("app: open the port listen.%s: listen.%s already uses %s; each needs its own port", p.name, o.name, o.listener.Addr())
			}
		}
	}
	return fmt.Errorf("app: open the port listen.%s: %w", p.name, err)
}

// checkListen says which addresses are none, and which two are one.
func (c *Config) checkListen() error {
	var errs []error
	type taken struct{ name, host, port string }
	var all []taken
	for _, p := range c.ports() {
		host, name, err := net.SplitHostPort(p.addr)
		if err != nil {
			errs = append(errs, fmt.Errorf("listen.%s is %q; it must be host:port, such as :8080 or 127.0.0.1:8080", p.name, p.addr))
			continue
		}
		number, err := net.DefaultResolver.LookupPort(context.Background(), "tcp", name)
		if err != nil {
			errs = append(errs, fmt.Errorf("listen.%s is %q; its port must be a number up to 65535, such as :8080", p.name, p.addr))
			continue
		}
		at := taken{p.name, strings.ToLower(host), fmt.Sprint(number)}
		for _, o := range all {
			if number != 0 && o.port == at.port && overlap(o.host, at.host) {
				errs = append(errs, fmt.Errorf("listen.%s and listen.%s both have port %s; each needs its own", o.name, at.name, at.port))
			}
		}
		all = append(all, at)
	}
	return errors.Join(errs...)
}

// overlap reports whether two hosts have an address in common, as far as their text tells. An empty one is every address, and [::] too.
func overlap(a, b string) bool {
	if a == b || every(a) || every(b) {
		return true
	}
	four := func(host string) bool { return !strings.Contains(host, ":") }
	return a == "0.0.0.0" && four(b) || b == "0.0.0.0" && four(a)
}

func every(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified() && ip.To4() == nil
}
