package deployed

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"

	"ramen/internal/app"
	"ramen/internal/stores"
	"ramen/internal/testapp"
	"ramen/internal/testcert"
	"ramen/internal/testcluster"
	"ramen/internal/testprocess"
	"ramen/internal/testserver"
	"ramen/internal/testserver/cassandratest"
	"ramen/internal/testserver/faultproxy"
	"ramen/internal/testserver/redistest"
	"ramen/store/driver"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ramen-test-")
	if err == nil {
		binary, err = testprocess.Build(dir)
	}
	if err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(testserver.Main(m), append(faultproxy.Leaks(), goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(dir)
		os.Exit(code)
	}))...)
}

// deploy is a file of deploy/.
func deploy(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// expressions are all of PromQL in the rules and the dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(deploy(t, "prometheus/alerts.yaml"), &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if all[r.Alert] = r.Expr; r.Expr == "" {
				t.Errorf("alert %q of %s has no expression", r.Alert, g.Name)
			}
		}
	}
	var board struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(deploy(t, "grafana/ramen.json"), &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("panel %s, %d", p.Title, i+1)] = target.Expr
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
	}
	return all
}

// told is what servers tell: which labels with which values each name has.
type told map[string]map[string]map[string]bool

var (
	sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	pair   = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)
)

func (x told) read(text string) {
	for line := range strings.Lines(text) {
		m := sample.FindStringSubmatch(strings.TrimSpace(line))
		if m == nil {
			continue
		}
		if x[m[1]] == nil {
			x[m[1]] = make(map[string]map[string]bool)
		}
		for _, p := range pair.FindAllStringSubmatch(m[2], -1) {
			if x[m[1]][p[1]] == nil {
				x[m[1]][p[1]] = make(map[string]bool)
			}
			x[m[1]][p[1]][p[2]] = true
		}
	}
}

// scraped are the labels that prometheus.yaml and Prometheus itself add.
var scraped = []string{"instance", "job", "role"}

var (
	selector = regexp.MustCompile(`\b((?:ramen|process|go)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(=~|!=|!~|=)"([^"]*)"`)
	grouping = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// lacks says what of an expression no server tells.
func (x told) lacks(expr string) (lacks []string) {
	labels := map[string]bool{"le": true}
	for _, s := range selector.FindAllStringSubmatch(expr, -1) {
		name := s[1]
		if x[name] == nil {
			lacks = append(lacks, "metric "+name)
			continue
		}
		for label := range x[name] {
			labels[label] = true
		}
		for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
			label, op, value := m[1], m[2], m[3]
			if slices.Contains(scraped, label) {
				continue
			}
			for _, v := range strings.Split(value, "|") {
				if !x[name][label][v] {
					lacks = append(lacks, fmt.Sprintf("%s%s%s%q", name, label, op, v))
				}
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(expr, -1) {
		for _, label := range strings.Split(g[1], ",") {
			if label = strings.TrimSpace(label); !labels[label] && !slices.Contains(scraped, label) {
				lacks = append(lacks, "label "+label)
			}
		}
	}
	return lacks
}

func get(url string) (string, error) {
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s answers %s: %.300s", url, resp.Status, text)
	}
	return string(text), err
}

// TestMetricsOfRulesAndPanelsAreTold by a server alone, and by a cluster on Cassandra with a Redis before it: each by its name, with the
// labels and the values of them that are asked for.
func TestMetricsOfRulesAndPanelsAreTold(t *testing.T) {
	x := make(told)
	x.read(alone(t))
	for _, text := range clustered(t) {
		x.read(text)
	}
	for where, expr := range expressions(t) {
		if lacks := x.lacks(expr); len(lacks) > 0 {
			t.Errorf("%s: no server tells %s: %s", where, strings.Join(lacks, ", "), expr)
		}
	}
	for _, wrong := range []string{`ramen_no_such_metric`, `ramen_gateway_shards{state="asleep"}`, `sum by (colour) (ramen_gateway_shards)`} {
		if len(x.lacks(wrong)) == 0 {
			t.Errorf("it is not seen that no server tells %s", wrong)
		}
	}
}

// alone is what one server with TLS tells.
func alone(t *testing.T) string {
	t.Helper()
	cfg := testapp.Config(t)
	own := testcert.SelfSigned("localhost")
	var err error
	if cfg.TLS.Devices.CertFile, cfg.TLS.Devices.KeyFile, err = own.WriteFiles(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	text, err := get("http://" + testapp.Serve(t, cfg).Backends + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// clustered is what each role of a cluster tells, once all shards are served.
func clustered(t *testing.T) (texts []string) {
	t.Helper()
	cassandra, cache := cassandratest.Shared(t), redistest.Single(t, redistest.Options{})
	url := cassandra.URL(cassandra.KeyspaceName(t)) + fmt.Sprintf("&replication=%d&timeout=5s", len(cassandra.Hosts))
	initStore(t, url)
	c := testcluster.New(t, url, func(cfg *app.Config) {
		if cfg.Role != string(app.RoleGateway) {
			return
		}
		if err := cfg.Store.Cache.UnmarshalText([]byte(cache.URL())); err != nil {
			t.Fatal(err)
		}
	})
	members := []*testcluster.Process{c.Members["c1"], c.Add("g1", app.RoleGateway), c.Add("f1", app.RoleFrontend)}
	c.Await(func() error {
		text, err := get(members[1].URL + "/metrics")
		if err == nil && !strings.Contains(text, fmt.Sprintf(`ramen_gateway_shards{state="serving"} %d`, testcluster.Shards)) {
			err = fmt.Errorf("not all shards are served")
		}
		return err
	})
	for _, m := range members {
		text, err := get(m.URL + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return texts
}

// initStore prepares a keyspace, as ramen store init does.
func initStore(t *testing.T, url string) {
	t.Helper()
	c := stores.Default()
	if err := c.URL.UnmarshalText([]byte(url)); err != nil {
		t.Fatal(err)
	}
	p, err := c.Place()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Init(t.Context(), p.Params(driver.Params{Shards: testcluster.Shards})); err != nil {
		t.Fatal(err)
	}
}
