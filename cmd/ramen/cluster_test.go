package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ramen/frontend/auth"
	"ramen/internal/app"
	"ramen/internal/testcluster"
	"ramen/internal/testserver/redistest"
	"ramen/topology/admin"
)

// TestClusterIsSteered: the commands against a cluster of a controller, which asks for keys, and two gateways.
func TestClusterIsSteered(t *testing.T) {
	c := testcluster.New(t, redistest.Single(t, redistest.Options{}).URL())
	looker, operator := auth.NewKey(), auth.NewKey()
	file := write(t, filepath.Join(t.TempDir(), "keys.yaml"), auth.KeyLine("looker", looker, auth.ScopeRead)+"\n"+auth.KeyLine("both", operator, auth.ScopeRead|auth.ScopeOperate)+"\n")
	cfg := c.Config("k1", app.RoleController)
	cfg.Dev, cfg.Auth.Keys.File = false, file
	c.Start(cfg)
	c.Add("g1", app.RoleGateway)
	c.Add("g2", app.RoleGateway)
	t.Setenv("RAMEN_BACKENDS_URL", c.Members["k1"].URL)
	t.Setenv("RAMEN_KEY", operator)
	settle := func() {
		t.Helper()
		c.Await(func() error {
			out, errOut, status := command(t, "", "cluster", "status")
			for _, g := range []string{"g1", "g2"} {
				if !regexp.MustCompile(g + `@\S+ +gateway +serving +8 `).MatchString(out) {
					return fmt.Errorf("%s has not its share:\n%s%s", g, out, errOut)
				}
			}
			if status != 0 || !strings.Contains(out, "16 serving") || !strings.Contains(out, "moves       none") {
				return fmt.Errorf("exit status %d:\n%s%s", status, out, errOut)
			}
			return nil
		})
	}
	settle()

	var s admin.Status
	if err := json.Unmarshal([]byte(good(t, "", "cluster", "status", "--json")), &s); err != nil || len(s.Members) != 4 {
		t.Errorf("as JSON: %v %+v", err, s)
	}
	if out := good(t, "", "cluster", "drain", "g1", "--wait"); !strings.Contains(out, "g1 is draining: it has 8 shards\n") || !strings.HasSuffix(out, "g1 is empty\n") {
		t.Errorf("drain: %s", out)
	}
	if out := good(t, "", "cluster", "status"); !strings.Contains(out, "draining    g1: 0 shards left") || !regexp.MustCompile(`g1@\S+ +gateway +draining +0 `).MatchString(out) {
		t.Errorf("drained: %s", out)
	}
	good(t, "", "cluster", "undrain", "g1")
	settle()
	to := map[bool]string{true: "g2", false: "g1"}[strings.Contains(good(t, "", "cluster", "move", "3", "g1", "--wait"), "to move from g1")]
	if out := good(t, "", "cluster", "move", "3", to, "--wait"); !strings.Contains(out, "shard 3 is served by "+to+"@") {
		t.Errorf("move: %s", out)
	}
	if out := good(t, "", "cluster", "status"); !strings.Contains(out, "pinned      shard 3 to "+to) {
		t.Errorf("moved: %s", out)
	}
	good(t, "", "cluster", "unpin", "3")
	settle()

	if out := good(t, "", "cluster", "controllers", "list"); !regexp.MustCompile(`c1 +[0-9a-f]+ +leader +http://`).MatchString(out) {
		t.Errorf("controllers: %s", out)
	}
	if out := good(t, "", "cluster", "controllers", "add", "c2", "127.0.0.1:1"); !strings.Contains(out, "c2=127.0.0.1:1") || !strings.Contains(out, "--cluster.controller.join") {
		t.Errorf("add: %s", out)
	}
	id := regexp.MustCompile(`- +([0-9a-f]+) +learner`).FindStringSubmatch(good(t, "", "cluster", "controllers", "list"))
	if id == nil {
		t.Fatal("the learner is not listed")
	}
	bad(t, "", []string{"cluster", "controllers", "promote", id[1]}, "etcd: promote")
	good(t, "", "cluster", "controllers", "remove", id[1])

	t.Setenv("RAMEN_KEY", looker)
	good(t, "", "cluster", "status")
	bad(t, "", []string{"cluster", "drain", "g1"}, `key "looker"`, "operate", "permission_denied")
	bad(t, "", []string{"cluster", "status", "--key", "rk_none"}, "unauthenticated")
	bad(t, "", []string{"cluster", "status", "--url", "http://127.0.0.1:1"}, "connection refused")
	bad(t, "", []string{"cluster", "move", "x", "g1"}, `SHARD is "x"`)
}

// TestClusterCommandsNeedACluster: a process that stands alone says that it does.
func TestClusterCommandsNeedACluster(t *testing.T) {
	serving(t)
	bad(t, "", []string{"cluster", "status"}, "is no member of a cluster: it stands alone")
	bad(t, "", []string{"cluster", "drain", "g1"}, "is no member of a cluster: it stands alone")
}

// TestClusterCertsAreReady: the files are what cluster.security takes, and a cluster runs on them alone.
func TestClusterCertsAreReady(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "certs")
	out := good(t, "", "cluster", "certs", "--dir", dir, "c1", "g1=127.0.0.1,g1.internal", "f1")
	for _, want := range []string{"made the authority", "cert_file: " + filepath.Join(dir, "g1.pem"), "# g1, for 127.0.0.1, g1.internal"} {
		if !strings.Contains(out, want) {
			t.Errorf("certs does not say %q:\n%s", want, out)
		}
	}
	before, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if out := good(t, "", "cluster", "certs", "--dir", dir, "--valid", "1h", "g1"); strings.Contains(out, "made the authority") {
		t.Errorf("the authority is made anew: %s", out)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "g1.pem"), filepath.Join(dir, "g1-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(before)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{DNSName: "g1", Roots: pool, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("g1's certificate: %v", err)
		}
	}
	if left := time.Until(pair.Leaf.NotAfter); left > time.Hour {
		t.Errorf("--valid 1h holds for %v", left)
	}
	bad(t, "", []string{"cluster", "certs", "--dir", dir, "../x"}, "NAME is")
	bad(t, "", []string{"cluster", "certs", "--dir", dir, "ca"}, "NAME is")
	bad(t, "", []string{"cluster", "certs", "--dir", dir, "g2=,"}, "empty host")
	bad(t, "", []string{"cluster", "certs", "--dir", dir, "--valid", "1s", "g2"}, "--valid")
}
