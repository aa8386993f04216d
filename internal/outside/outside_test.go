package outside

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// app is a program of somebody else's, as an app's author writes it.
const app = `package main

import (
	"context"
	"fmt"

	ramen "ramen/clients/go"
)

func main() {
	device, err := ramen.New(ramen.DeviceConfig{
		URL: "http://127.0.0.1:1", User: "alice", Device: "phone",
		Handler: func(context.Context, *ramen.Message) error { return nil },
	})
	fmt.Println(device != nil, err)
}
`

// serversOwn are parts of the names of modules that the server alone needs.
var serversOwn = []string{"cockroachdb", "pebble", "etcd", "gocql", "redis", "prometheus", "zap", "chromedp", "cobra", "staticcheck", "ramen/internal"}

// program is a module outside of the repository.
type program struct {
	t   *testing.T
	dir string
}

// newProgram writes source as the main package of a module that requires modules of this repository, each by its folder.
func newProgram(t *testing.T, source string, modules map[string]string) program {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	p := program{t, t.TempDir()}
	mod := "module example.com/app\n\ngo 1.26.0\n"
	for name, dir := range modules {
		// Read here, the file is one that go test's cache of results goes by.
		if text, err := os.ReadFile(filepath.Join(root, dir, "go.mod")); err != nil || !strings.HasPrefix(string(text), "module "+name+"\n") {
			t.Fatalf("the module of %s is not %s: %v", dir, name, err)
		}
		mod += "\nrequire " + name + " v0.0.0\nreplace " + name + " => " + filepath.Join(root, dir) + "\n"
	}
	p.write("go.mod", mod)
	p.write("main.go", source)
	return p
}

func (p program) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run runs a command in the module, without this repository's settings.
func (p program) run(command string, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command, args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", command, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// carried are the modules of the server's own that p has in its build list or its go.sum, a line each.
func (p program) carried() (found []string) {
	p.t.Helper()
	sums, err := os.ReadFile(filepath.Join(p.dir, "go.sum"))
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(string(sums), "google.golang.org/protobuf") {
		p.t.Fatalf("go.sum has nothing of what the client needs:\n%s", sums)
	}
	for line := range strings.Lines(p.run("go", "list", "-m", "all") + string(sums)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, own := range serversOwn {
			if strings.Contains(name, own) || name == "ramen" {
				found = append(found, name)
				break
			}
		}
	}
	return found
}

// TestAppWithTheClientCarriesNothingOfTheServer: neither its go.sum nor its build list knows pebble, etcd or gocql.
func TestAppWithTheClientCarriesNothingOfTheServer(t *testing.T) {
	t.Parallel()
	p := newProgram(t, app, map[string]string{"ramen/clients/go": "clients/go", "ramen/protocol": "protocol"})
	p.run("go", "build", "-o", "app", ".")
	if said := p.run(filepath.Join(p.dir, "app")); said != "true <nil>\n" {
		t.Errorf("the app says %q", said)
	}
	if found := p.carried(); len(found) > 0 {
		t.Errorf("an app with the client carries %s", strings.Join(found, ", "))
	}
	p.run("go", "mod", "tidy")
	if found := p.carried(); len(found) > 0 {
		t.Errorf("after go mod tidy it carries %s", strings.Join(found, ", "))
	}
}

// TestAppWithTheServersModuleCarriesIt: were the client a package of the server's module, this is what the test above would find.
func TestAppWithTheServersModuleCarriesIt(t *testing.T) {
	t.Parallel()
	source := strings.Replace(app, "import (", "import (\n\t_ \"ramen/frontend/origin\"", 1)
	p := newProgram(t, source, map[string]string{"ramen": ".", "ramen/clients/go": "clients/go", "ramen/protocol": "protocol"})
	p.run("go", "build", "-o", "app", ".")
	found := strings.Join(p.carried(), " ")
	for _, name := range []string{"ramen", "github.com/cockroachdb/pebble/v2", "go.etcd.io/etcd/server/v3", "github.com/apache/cassandra-gocql-driver/v2"} {
		if !strings.Contains(" "+found+" ", " "+name+" ") {
			t.Errorf("an app with the server's module does not carry %s: %s", name, found)
		}
	}
}
