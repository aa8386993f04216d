package deployed

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"ramen/internal/testprocess"
)

// composed is compose.yaml, as far as these tests know it.
type composed struct {
	Services map[string]service
	Networks map[string]any
	Volumes  map[string]any
}

type service struct {
	Image       string
	Build       map[string]string
	Command     any
	Environment map[string]string
	Volumes     []string
	Ports       []string
	Networks    any
	DependsOn   any `yaml:"depends_on"`
	Healthcheck map[string]any
}

func compose(t *testing.T) (c composed) {
	t.Helper()
	if err := yaml.Unmarshal(deploy(t, "compose.yaml"), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) < 12 {
		t.Fatalf("compose.yaml has %d services", len(c.Services))
	}
	return c
}

// members are the services that are members of the cluster.
func (c *composed) members() (names []string) {
	for name, s := range c.Services {
		if s.Environment["RAMEN_ROLE"] != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// ramen runs the binary with what a service has in its environment, and nothing else that would configure it.
func ramen(t *testing.T, env map[string]string, args ...string) (said string, err error) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = testprocess.Env()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestMembersOfComposeAreConfigured: the binary takes each member's configuration, and it is what the cluster needs.
func TestMembersOfComposeAreConfigured(t *testing.T) {
	c := compose(t)
	roles := make(map[string]int)
	for _, name := range c.members() {
		env := c.Services[name].Environment
		roles[env["RAMEN_ROLE"]]++
		said, err := ramen(t, env, "config", "--effective", "--config", filepath.Join("..", "..", "deploy", "compose", "ramen.yaml"))
		if err != nil {
			t.Errorf("%s: %v: %s", name, err, said)
			continue
		}
		var cfg struct {
			Role    string
			Cluster struct {
				Name, Advertise string
				Etcd            []string
				Security        struct{ Cert_file string }
				Controller      struct{ Client, Peer, Members string }
			}
			Store struct{ URL, Cache string }
		}
		if err := yaml.Unmarshal([]byte(said), &cfg); err != nil {
			t.Fatal(err)
		}
		k := cfg.Cluster
		if k.Name != name || len(k.Etcd) != 3 || k.Security.Cert_file != "/etc/ramen/cluster/"+name+".pem" {
			t.Errorf("%s is %+v", name, k)
		}
		switch cfg.Role {
		case "controller":
			if !slices.Contains(k.Etcd, k.Controller.Client) || !strings.Contains(k.Controller.Members, name+"="+k.Controller.Peer) {
				t.Errorf("%s is not where the others look for it: %+v", name, k)
			}
		case "gateway":
			if !strings.HasPrefix(k.Advertise, name+":") || !strings.HasPrefix(cfg.Store.URL, "cassandra://") || !strings.HasPrefix(cfg.Store.Cache, "redis://") {
				t.Errorf("%s: %+v %+v", name, k, cfg.Store)
			}
		}
	}
	if roles["controller"] != 3 || roles["gateway"] < 2 || roles["frontend"] < 2 {
		t.Errorf("members by role: %v", roles)
	}
	if said, err := ramen(t, map[string]string{"RAMEN_CLUSTER_NAM": "x"}, "config", "--effective"); err == nil {
		t.Errorf("a variable that there is not is taken: %.200s", said)
	}
}

// TestCertificatesOfComposeAreThoseOfItsMembers: the command of the service makes one for each, and where members look for it.
func TestCertificatesOfComposeAreThoseOfItsMembers(t *testing.T) {
	c := compose(t)
	dir := t.TempDir()
	var args []string
	for _, a := range c.Services["certs"].Command.([]any) {
		args = append(args, strings.ReplaceAll(a.(string), "/etc/ramen/cluster", dir))
	}
	if said, err := ramen(t, nil, args...); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	for _, name := range c.members() {
		env := c.Services[name].Environment
		for _, v := range []string{"RAMEN_CLUSTER_SECURITY_CERT_FILE", "RAMEN_CLUSTER_SECURITY_KEY_FILE"} {
			if _, err := os.Stat(strings.ReplaceAll(env[v], "/etc/ramen/cluster", dir)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		address := regexp.MustCompile(`ipv4_address: (\S+)`).FindStringSubmatch(text(t, c.Services[name].Networks))
		if address == nil || !strings.Contains(strings.Join(args, " ")+" ", address[1]+" ") {
			t.Errorf("%s has the address %v, which its certificate is not for: %v", name, address, args)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "ca.pem")); err != nil {
		t.Error(err)
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPartsOfComposeFitTogether: files, volumes, networks and services that are named are there, ports are published once and to this
// machine alone, and Prometheus asks all members.
func TestPartsOfComposeFitTogether(t *testing.T) {
	c := compose(t)
	ports := make(map[string]string)
	for name, s := range c.Services {
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if strings.HasPrefix(from, "./") {
				deploy(t, from)
			} else if _, is := c.Volumes[from]; !is {
				t.Errorf("%s: there is no volume %s", name, from)
			}
		}
		for _, p := range s.Ports {
			at := p[:strings.LastIndex(p, ":")]
			if !strings.HasPrefix(at, "127.0.0.1:") || ports[at] != "" {
				t.Errorf("%s publishes %s, and so does %q", name, at, ports[at])
			}
			ports[at] = name
		}
		for _, n := range keys(s.Networks) {
			if _, is := c.Networks[n]; !is {
				t.Errorf("%s: there is no network %s", name, n)
			}
		}
		for _, d := range keys(s.DependsOn) {
			if _, is := c.Services[d]; !is {
				t.Errorf("%s: there is no service %s", name, d)
			}
		}
		if s.Image == "ramen:local" && s.Environment["RAMEN_ROLE"] != "" && text(t, s.Healthcheck["test"]) != "- CMD\n- /usr/local/bin/ramen\n- health\n" {
			t.Errorf("%s: the health check is %v", name, s.Healthcheck)
		}
	}
	var prometheus struct {
		Rule_files     []string
		Scrape_configs []struct {
			Static_configs []struct {
				Targets []string
				Labels  map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(deploy(t, "prometheus/prometheus.yaml"), &prometheus); err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, s := range prometheus.Scrape_configs[0].Static_configs {
		for _, target := range s.Targets {
			name, port, _ := strings.Cut(target, ":")
			asked = append(asked, name)
			if port != "9080" || c.Services[name].Environment["RAMEN_ROLE"] != s.Labels["role"] {
				t.Errorf("Prometheus asks %s as a %s", target, s.Labels["role"])
			}
		}
	}
	slices.Sort(asked)
	if members := c.members(); !slices.Equal(asked, members) {
		t.Errorf("Prometheus asks %v, not %v", asked, members)
	}
	for _, f := range prometheus.Rule_files {
		deploy(t, "prometheus/"+f)
	}
}

// keys are the names in a list or a map.
func keys(v any) (names []string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			names = append(names, x.(string))
		}
	case map[string]any:
		for k := range v {
			names = append(names, k)
		}
	}
	return names
}
