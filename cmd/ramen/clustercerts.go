package main

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ramen/internal/tool/authority"
)

// The lives of what certs makes.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	memberLife    = 365 * 24 * time.Hour
)

func clusterCertsCommand() *cobra.Command {
	var dir string
	var life time.Duration
	c := &cobra.Command{
		Use:   "certs NAME[=HOST,…]…",
		Short: "Make a small authority, and a certificate for each member of a cluster.",
		Long: "Make an authority in the folder --dir, where there is none yet, and a certificate for each member NAME (its cluster.name), by which the members\n" +
			"know each other: for links, and for the controllers' etcd. HOSTs are the names and addresses at which others reach the member, and from\n" +
			"which it asks etcd; without any they are localhost, 127.0.0.1 and ::1.\n\n" +
			"Give each member ca.pem, its own NAME.pem and its own NAME-key.pem, and set them in cluster.security as it is printed. Running it again with the\n" +
			"same folder makes new certificates for the members named: they take effect with the next connection, no member is restarted.\n\n" +
			"This is to try a cluster out, or for one in a network of its own. The authority's key, ca-key.pem, lies in the folder without a password:\n" +
			"whoever has it can pass for any member. For production, have your own authority (Vault, step-ca, cert-manager) issue certificates that hold\n" +
			"for days, with the member's cluster.name as a DNS name, its hosts, and both usages, server and client; or at least keep ca-key.pem off all\n" +
			"members. Nothing is revoked: take a member out by a new authority.",
		Example: "  ramen cluster certs --dir certs c1=10.0.0.1 c2=10.0.0.2 c3=10.0.0.3 g1=10.0.1.1,g1.internal f1=10.0.2.1",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return makeCerts(c.OutOrStdout(), dir, life, args)
		},
	}
	c.Flags().StringVar(&dir, "dir", "certs", "`folder` of the authority and the certificates")
	c.Flags().DurationVar(&life, "valid", memberLife, "how long a member's certificate holds")
	return c
}

// certFor is a member that a certificate is for.
type certFor struct {
	name  string
	hosts []string
}

func makeCerts(out io.Writer, dir string, life time.Duration, args []string) error {
	if life < time.Minute || life > authorityLife {
		return fmt.Errorf("cluster: --valid is %v; it must be 1m to %v", life, authorityLife)
	}
	var members []certFor
	for _, arg := range args {
		m, err := parseCertFor(arg)
		if err != nil {
			return err
		}
		members = append(members, m)
	}
	a, made, err := authority.Open(dir, "RAMEN cluster authority", authorityLife)
	if err != nil {
		return err
	}
	if made {
		fmt.Fprintf(out, "made the authority %s; keep %s secret, and off the members\n", filepath.Join(dir, authority.CertFile), filepath.Join(dir, authority.KeyFile))
	}
	for _, m := range members {
		cert, key, err := a.Issue(m.name, m.hosts, life)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n# %s, for %s, until %s\ncluster:\n  name: %s\n  security:\n    cert_file: %s\n    key_file: %s\n    ca_file: %s\n",
			m.name, strings.Join(m.hosts, ", "), time.Now().Add(life).Format(time.DateOnly), m.name, cert, key, filepath.Join(dir, authority.CertFile))
	}
	return nil
}

func parseCertFor(arg string) (m certFor, err error) {
	name, hosts, given := strings.Cut(arg, "=")
	if name == "" || strings.ContainsAny(name, "@/\\, ") || strings.HasPrefix(name, ".") || name == "ca" {
		return m, fmt.Errorf("cluster: NAME is %q; it must be the cluster.name of a member, and not ca", name)
	}
	m.name = name
	if !given {
		m.hosts = []string{"localhost", "127.0.0.1", "::1"}
		return m, nil
	}
	for h := range strings.SplitSeq(hosts, ",") {
		if h = strings.TrimSpace(h); h == "" || strings.Contains(h, "/") {
			return m, fmt.Errorf("cluster: %q has an empty host, or one with a slash; use NAME=HOST,HOST", arg)
		}
		m.hosts = append(m.hosts, h)
	}
	if len(m.hosts) == 0 {
		return m, errors.New("cluster: a host is missing")
	}
	return m, nil
}
