package operated

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/frontend/auth"
	"ramen/internal/app"
	"ramen/internal/ports"
	"ramen/internal/testcluster"
	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/internal/tool/authority"
	"ramen/topology/admin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(settling{testserver.Main(m)}) }

// settling waits until no goroutine is left, for as long as etcd's members may keep connections to each other that they have closed: a read of
// one that began at that moment ends by its time, after 5 s.
type settling struct{ goleak.TestingM }

// Run implements goleak.TestingM.
func (s settling) Run() int {
	code := s.TestingM.Run()
	http.DefaultClient.CloseIdleConnections()
	for late := time.Now().Add(patience); goleak.Find() != nil && time.Now().Before(late); { // it waits by itself
	}
	return code
}

const patience = 20 * time.Second

// keys are of the controller, the other members are in development.
type keys struct{ read, operate, publish string }

// cluster is a controller c1 with keys, and two gateways and a frontend without.
func cluster(t *testing.T) (*testcluster.Cluster, keys) {
	t.Helper()
	redis := redistest.Single(t, redistest.Options{})
	c := testcluster.New(t, redis.URL())
	k := keys{auth.NewKey(), auth.NewKey(), auth.NewKey()}
	file := filepath.Join(t.TempDir(), "keys.yaml")
	text := auth.KeyLine("looker", k.read, auth.ScopeRead) + "\n" + auth.KeyLine("operator", k.operate, auth.ScopeOperate) + "\n" + auth.KeyLine("backend", k.publish, auth.ScopePublish) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := c.Config("k1", app.RoleController) // one that carries no etcd, and asks for keys
	cfg.Dev, cfg.Auth.Keys.File = false, file
	c.Start(cfg)
	c.Add("g1", app.RoleGateway)
	c.Add("g2", app.RoleGateway)
	c.Add("f1", app.RoleFrontend)
	return c, k
}

// call asks a member, and reads the answer into it where that is not nil.
func call(t *testing.T, url, key, method, path, body string, into any) (status int, text string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil && a.StatusCode == http.StatusOK {
		if err := json.Unmarshal(b, into); err != nil {
			t.Fatalf("%s %s: %v: %s", method, path, err, b)
		}
	}
	return a.StatusCode, string(b)
}

func status(t *testing.T, url string) (s admin.Status) {
	t.Helper()
	if code, text := call(t, url, "", "GET", "/v1/cluster", "", &s); code != http.StatusOK {
		t.Fatalf("GET /v1/cluster: %d %s", code, text)
	}
	return s
}

func member(s admin.Status, name string) (m admin.Member) {
	for _, m := range s.Members {
		if m.Name == name {
			return m
		}
	}
	return m
}

// settled waits until every shard is served, each gateway of shares has so many, and the member at url sees nothing wrong.
func settled(t *testing.T, c *testcluster.Cluster, url string, shares map[string]int) (s admin.Status) {
	t.Helper()
	c.Await(func() error {
		s = status(t, url)
		for name, n := range shares {
			if m := member(s, name); m.Shards.Serving != n || m.Behind != 0 {
				return fmt.Errorf("%s serves %d shards and is %d views behind, want %d", name, m.Shards.Serving, m.Behind, n)
			}
		}
		if len(s.Moves) > 0 || len(s.Problems) > 0 || s.View.Serving != testcluster.Shards {
			return fmt.Errorf("not settled: %+v", s)
		}
		return nil
	})
	return s
}

// TestOperatorsSeeAndSteer: what each member says of the cluster, what keys allow, and what becomes of each change.
func TestOperatorsSeeAndSteer(t *testing.T) {
	t.Parallel()
	c, k := cluster(t)
	f1, k1 := c.Members["f1"].URL, c.Members["k1"].URL
	s := settled(t, c, f1, map[string]int{"g1": 8, "g2": 8})

	t.Run("members", func(t *testing.T) { seeMembers(t, c, s) })
	t.Run("keys", func(t *testing.T) { tryKeys(t, k1, k) })
	t.Run("drain", func(t *testing.T) { drain(t, c, f1, k1, k) })
	t.Run("move", func(t *testing.T) { move(t, c, f1) })
	t.Run("check", func(t *testing.T) { check(t, c) })
	t.Run("console", func(t *testing.T) { consoleFinds(t, c) })
	t.Run("story", func(t *testing.T) { story(t, c) })
}

func seeMembers(t *testing.T, c *testcluster.Cluster, s admin.Status) {
	if s.ID == "" || !strings.HasPrefix(s.Controller, "c1@") && !strings.HasPrefix(s.Controller, "k1@") || s.View.Shards != testcluster.Shards {
		t.Errorf("the cluster: %+v", s)
	}
	for name, role := range map[string]string{"c1": "controller", "k1": "controller", "g1": "gateway", "g2": "gateway", "f1": "frontend"} {
		m := member(s, name)
		if len(m.Roles) != 1 || m.Roles[0] != role || m.State != "serving" || "http://"+m.Operators != c.Members[name].URL || m.Version != app.Version || m.StartedMS == 0 {
			t.Errorf("%s: %+v", name, m)
		}
		if (m.Address != "") != (role == "gateway") {
			t.Errorf("%s has the address %q", name, m.Address)
		}
	}
	for name, p := range c.Members { // each member knows the same
		if name == "k1" {
			continue
		}
		c.Await(func() error {
			if got := status(t, p.URL); got.ID != s.ID || len(got.Members) != len(s.Members) || got.View.Version < s.View.Version {
				return fmt.Errorf("%s says %+v; f1 says %+v", name, got, s)
			}
			return nil
		})
	}
}

func tryKeys(t *testing.T, url string, k keys) {
	for _, x := range []struct {
		method, path, body, key string
		want                    int
	}{
		{"GET", "/v1/cluster", "", "", 401},
		{"GET", "/v1/cluster", "", "rk_wrong", 401},
		{"GET", "/v1/cluster", "", k.publish, 403},
		{"GET", "/v1/cluster", "", k.operate, 403},
		{"GET", "/v1/cluster", "", k.read, 200},
		{"GET", "/v1/cluster/shards", "", k.read, 200},
		{"GET", "/v1/cluster/controllers", "", k.read, 200},
		{"POST", "/v1/cluster/drain", `{"name":"g1"}`, k.read, 403},
		{"POST", "/v1/cluster/drain", `{"name":"g1"}`, k.publish, 403},
		{"POST", "/v1/cluster/controllers/remove", `{"name":"c1"}`, k.read, 403},
		{"POST", "/v1/cluster/drain", `{"name":"g9"}`, k.operate, 404},
		{"POST", "/v1/cluster/drain", `{"name":""}`, k.operate, 404},
		{"POST", "/v1/cluster/drain", `{"nome":"g1"}`, k.operate, 400},
		{"POST", "/v1/cluster/drain", `[]`, k.operate, 400},
		{"POST", "/v1/cluster/drain", `{"name":"g1"} {}`, k.operate, 400},
		{"POST", "/v1/cluster/drain", ``, k.operate, 400},
		{"POST", "/v1/cluster/drain", `{"name":"` + strings.Repeat("x", 5000) + `"}`, k.operate, 413},
		{"POST", "/v1/cluster/undrain", `{"name":"g1"}`, k.operate, 404},
		{"POST", "/v1/cluster/move", `{"to":"g1"}`, k.operate, 400},
		{"POST", "/v1/cluster/move", `{"shard":16,"to":"g1"}`, k.operate, 404},
		{"POST", "/v1/cluster/move", `{"shard":-1,"to":"g1"}`, k.operate, 404},
		{"POST", "/v1/cluster/move", `{"shard":1,"to":"f1"}`, k.operate, 404},
		{"POST", "/v1/cluster/unpin", `{"shard":1}`, k.operate, 404},
		{"POST", "/v1/cluster/controllers/add", `{"name":"c2","peer":"nowhere"}`, k.operate, 400},
		{"POST", "/v1/cluster/controllers/add", `{"name":"c1","peer":"127.0.0.1:1"}`, k.operate, 400},
		{"POST", "/v1/cluster/controllers/promote", `{"name":"c9"}`, k.operate, 404},
		{"POST", "/v1/cluster/controllers/promote", `{"name":"c1"}`, k.operate, 400},
		{"POST", "/v1/cluster", "", k.read, 405},
		{"GET", "/v1/cluster/drain", "", k.read, 405},
		{"GET", "/v1/cluster/nothing", "", k.read, 404},
	} {
		code, text := call(t, url, x.key, x.method, x.path, x.body, nil)
		if code != x.want || code != 200 && !strings.HasPrefix(text, `{"error":{"code":"`) {
			t.Errorf("%s %s %.60s: %d %s, want %d", x.method, x.path, x.body, code, text, x.want)
		}
	}
}

func drain(t *testing.T, c *testcluster.Cluster, f1, k1 string, k keys) {
	var d admin.Drain
	if code, text := call(t, k1, k.operate, "POST", "/v1/cluster/drain", `{"name":"g1"}`, &d); code != 200 || d.Shards != 8 {
		t.Fatalf("drain: %d %s", code, text)
	}
	s := settled(t, c, f1, map[string]int{"g1": 0, "g2": 16})
	if m := member(s, "g1"); m.State != "draining" || len(s.Draining) != 1 || s.Draining[0].Name != "g1" || s.Draining[0].SinceMS != d.SinceMS {
		t.Errorf("drained: %+v %+v", m, s.Draining)
	}
	if code, text := call(t, f1, "", "POST", "/v1/cluster/drain", `{"name":"g2"}`, nil); code != 400 || !strings.Contains(text, "no other gateway than g2") {
		t.Errorf("the last gateway is drained: %d %s", code, text)
	}
	if code, text := call(t, f1, "", "POST", "/v1/cluster/move", `{"shard":1,"to":"g1"}`, nil); code != 400 || !strings.Contains(text, "takes no shards") {
		t.Errorf("a shard is moved to who drains: %d %s", code, text)
	}
	if code, text := call(t, f1, "", "POST", "/v1/cluster/undrain", `{"name":"g1"}`, nil); code != 200 {
		t.Fatalf("undrain: %d %s", code, text)
	}
	settled(t, c, f1, map[string]int{"g1": 8, "g2": 8})
	for _, want := range []string{`change=drain key=operator name=g1`, `change=undrain key="" name=g1`} {
		if !strings.Contains(c.Log.String(), want) {
			t.Errorf("no line of the log has %s", want)
		}
	}
}

func owner(t *testing.T, url string, shard int) admin.Shard {
	t.Helper()
	var all admin.Shards
	if code, text := call(t, url, "", "GET", "/v1/cluster/shards", "", &all); code != 200 || len(all.Shards) != testcluster.Shards {
		t.Fatalf("shards: %d %s", code, text)
	}
	return all.Shards[shard]
}

func move(t *testing.T, c *testcluster.Cluster, url string) {
	before := owner(t, url, 3)
	to := "g1"
	if before.Member.Name() == "g1" {
		to = "g2"
	}
	if code, text := call(t, url, "", "POST", "/v1/cluster/move", fmt.Sprintf(`{"shard":3,"to":%q}`, to), nil); code != 200 {
		t.Fatalf("move: %d %s", code, text)
	}
	c.Await(func() error {
		after := owner(t, url, 3)
		if after.Member.Name() != to || after.State != "serving" || after.Epoch <= before.Epoch || after.Pin != to || len(after.Said) == 0 {
			return fmt.Errorf("shard 3 was %+v and is %+v", before, after)
		}
		return nil
	})
	s := settled(t, c, url, nil)
	if len(s.Pins) != 1 || s.Pins[0] != (admin.Pin{Shard: 3, To: to}) {
		t.Errorf("pins: %+v", s.Pins)
	}
	if code, text := call(t, url, "", "POST", "/v1/cluster/unpin", `{"shard":3}`, nil); code != 200 {
		t.Fatalf("unpin: %d %s", code, text)
	}
	settled(t, c, url, map[string]int{"g1": 8, "g2": 8})
}

// check: every member finds that all agree; and it can say otherwise.
func check(t *testing.T, c *testcluster.Cluster) {
	for name, p := range c.Members {
		if name == "k1" {
			continue
		}
		c.Await(func() error {
			if code, text := call(t, p.URL, "", "GET", "/debug/check", "", nil); code != 200 {
				return fmt.Errorf("%s: %d %s", name, code, text)
			}
			return nil
		})
	}
	_, text := call(t, c.Members["g1"].URL, "", "GET", "/metrics", "", nil)
	for _, want := range []string{`ramen_registry_view_version [1-9]`, `ramen_registry_view_age_seconds \d`, `ramen_registry_heard_age_seconds \d`} {
		if !regexp.MustCompile("(?m)^" + want).MatchString(text) {
			t.Errorf("/metrics has no %s", want)
		}
	}
	moved := 0
	for _, name := range []string{"c1", "k1"} {
		_, text := call(t, c.Members[name].URL, "", "GET", "/metrics", "", nil)
		if regexp.MustCompile(`(?m)^ramen_controller_shards_given_total\{reason="moved"\} [1-9]`).MatchString(text) {
			moved++
		}
	}
	if moved == 0 {
		t.Error("no controller has counted a shard that was moved")
	}
}

// consoleFinds: the page shows a cluster where it finds this.
func consoleFinds(t *testing.T, c *testcluster.Cluster) {
	for name, p := range c.Members {
		_, metrics := call(t, p.URL, "", "GET", "/metrics", "", nil)
		if !regexp.MustCompile(`(?m)^ramen_registry_keys [1-9]`).MatchString(metrics) {
			t.Errorf("%s: /metrics has no ramen_registry_keys", name)
		}
		if code, page := call(t, p.URL, "", "GET", "/", "", nil); code != 200 || !strings.Contains(page, `'ramen_registry_keys'`) {
			t.Errorf("%s: the console is %d and does not look for ramen_registry_keys", name, code)
		}
	}
}

// story: one search finds what the controller and both gateways say of a shard.
func story(t *testing.T, c *testcluster.Cluster) {
	from := make(map[string]int)
	for line := range strings.Lines(c.Log.String()) {
		if strings.Contains(line, " shard=3 ") && strings.Contains(line, " epoch=") && strings.Contains(line, " member=") {
			from[regexp.MustCompile(`process=(\w+)`).FindStringSubmatch(line)[1]]++
		}
	}
	if from["g1"] == 0 || from["g2"] == 0 || from["c1"]+from["k1"] == 0 {
		t.Errorf("lines with shard, epoch and member, by process: %v", from)
	}
}

// TestGatewayThatEndsIsForgotten: a gateway that ends is seen to go, and its shards at the other.
func TestGatewayThatEndsIsForgotten(t *testing.T) {
	t.Parallel()
	c, _ := cluster(t)
	url := c.Members["f1"].URL
	settled(t, c, url, map[string]int{"g1": 8, "g2": 8})
	c.Members["g2"].End(t)
	settled(t, c, url, map[string]int{"g1": 16})
	c.Await(func() error {
		if m := member(status(t, url), "g2"); m.Name != "" {
			return fmt.Errorf("g2 is there yet: %+v", m)
		}
		return nil
	})
	// Its name still drains nobody and pins nothing: what is written for a name that is gone is told.
	if code, text := call(t, url, "", "POST", "/v1/cluster/drain", `{"name":"g2"}`, nil); code != 404 {
		t.Errorf("drain of who has gone: %d %s", code, text)
	}
}

// TestClusterRunsOnCertificates: what ramen cluster certs makes is all that members need to know each other, for links and for etcd.
func TestClusterRunsOnCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, _, err := authority.Open(dir, "test", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	c := testcluster.New(t, redistest.Single(t, redistest.Options{}).URL(), func(cfg *app.Config) {
		s := &cfg.Cluster.Security
		if s.CertFile, s.KeyFile, err = a.Issue(cfg.Cluster.Name, []string{"localhost", "127.0.0.1"}, time.Hour); err != nil {
			t.Fatal(err)
		}
		s.CAFile = filepath.Join(dir, authority.CertFile)
	})
	c.Add("g1", app.RoleGateway)
	f1 := c.Add("f1", app.RoleFrontend)
	settled(t, c, f1.URL, map[string]int{"g1": testcluster.Shards})
	c.Await(func() error {
		code, text := call(t, f1.URL, "", "POST", "/v1/publish", `{"user":"alice","payload":1}`, nil)
		if code != 200 || !strings.Contains(text, `"accepted"`) {
			return fmt.Errorf("publish: %d %s", code, text)
		}
		return nil
	})
	var all struct{ Controllers []admin.Controller }
	if code, text := call(t, f1.URL, "", "GET", "/v1/cluster/controllers", "", &all); code != 200 || len(all.Controllers) != 1 || !strings.HasPrefix(all.Controllers[0].Peers[0], "https://") {
		t.Errorf("controllers: %d %s", code, text)
	}
}

// TestControllersComeAndGo: a controller joins as a learner, is given a vote, and is removed.
func TestControllersComeAndGo(t *testing.T) {
	t.Parallel()
	c := testcluster.New(t, "memory:")
	url := c.Members["c1"].URL
	list := func() (all []admin.Controller) {
		var a struct{ Controllers []admin.Controller }
		if code, text := call(t, url, "", "GET", "/v1/cluster/controllers", "", &a); code != 200 {
			t.Fatalf("controllers: %d %s", code, text)
		}
		return a.Controllers
	}
	c.Await(func() error { // etcd has just started
		if all := list(); len(all) != 1 || all[0].Name != "c1" || !all[0].Leader || all[0].Learner || all[0].Error != "" || all[0].Version == "" {
			return fmt.Errorf("at first: %+v", all)
		}
		return nil
	})
	if code, text := call(t, url, "", "POST", "/v1/cluster/controllers/remove", `{"name":"c1"}`, nil); code != 400 {
		t.Errorf("the only controller is removed: %d %s", code, text)
	}
	client, peer := ports.Free(t), ports.Free(t)
	var added admin.Added
	if code, text := call(t, url, "", "POST", "/v1/cluster/controllers/add", fmt.Sprintf(`{"name":"c2","peer":%q}`, peer), &added); code != 200 {
		t.Fatalf("add: %d %s", code, text)
	}
	if all := list(); len(all) != 2 || !strings.Contains(all[0].Error+all[1].Error, "not started") {
		t.Errorf("added: %+v", all)
	}
	cfg := c.Config("c2", app.RoleController)
	cfg.Cluster.Controller = app.Controller{Data: filepath.Join(t.TempDir(), "etcd"), Client: client, Peer: peer, Members: added.Members, Join: true, Probe: true, Moves: 4}
	c2 := c.Start(cfg)
	c.Await(func() error {
		code, text := call(t, url, "", "POST", "/v1/cluster/controllers/promote", `{"name":"c2"}`, nil)
		if code != 200 {
			return fmt.Errorf("promote: %d %s", code, text)
		}
		return nil
	})
	c.Await(func() error {
		for _, m := range list() {
			if m.Learner || m.Error != "" {
				return fmt.Errorf("%+v", m)
			}
		}
		return nil
	})
	if code, text := call(t, c2.URL, "", "GET", "/v1/cluster", "", nil); code != 200 {
		t.Errorf("at the new one: %d %s", code, text)
	}
	c.Await(func() error { // it is the leader of etcd that knows how healthy the others are
		code, text := call(t, url, "", "POST", "/v1/cluster/controllers/remove", `{"name":"c2"}`, nil)
		if code != 200 {
			return fmt.Errorf("remove: %d %s", code, text)
		}
		return nil
	})
	if all := list(); len(all) != 1 {
		t.Errorf("removed: %+v", all)
	}
	c2.End(t)
	c.Await(func() error {
		if s := status(t, url); s.HeardMS > time.Minute.Milliseconds() || len(s.Members) != 1 {
			return fmt.Errorf("the rest: %+v", s)
		}
		return nil
	})
}
