// The imports that the design forbids, each with its reason.

package arrows

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// rule forbids packages under from to import packages under any of to, themselves excepted.
type rule struct {
	from string
	to   []string
	why  string
}

var rules = []rule{
	{"ramen/protocol", []string{"ramen/link", "ramen/store", "ramen/topology", "ramen/gateway", "ramen/frontend", "ramen/clients", "ramen/loadtest", "ramen/internal/app", "ramen/cmd"},
		"protocol is the words that all share: it knows nobody"},
	{"ramen/link", []string{"ramen/store", "ramen/topology", "ramen/gateway", "ramen/frontend", "ramen/clients", "ramen/internal/app", "ramen/cmd"},
		"the link is a contract between two that do not know each other"},
	{"ramen/topology", []string{"ramen/store", "ramen/link", "ramen/gateway", "ramen/frontend", "ramen/clients", "ramen/internal/app", "ramen/cmd"},
		"who owns what is a question apart from how it is asked or kept"},
	{"ramen/store", []string{"ramen/link", "ramen/topology", "ramen/gateway", "ramen/frontend", "ramen/clients", "ramen/internal/app", "ramen/cmd"},
		"a store keeps mailboxes, whoever asks"},
	{"ramen/gateway", []string{"ramen/frontend", "ramen/clients", "ramen/internal/app", "ramen/cmd"},
		"a gateway must be able to live without a frontend in its process"},
	{"ramen/frontend", []string{"ramen/gateway", "ramen/store", "ramen/clients", "ramen/internal/app", "ramen/cmd"},
		"a frontend is stateless: what it wants of a gateway it asks over the link"},
	{"ramen/clients", []string{"ramen/link", "ramen/topology", "ramen/store", "ramen/gateway", "ramen/frontend", "ramen/internal/app", "ramen/cmd"},
		"a client is written against the wire alone, and is light to import"},
	{"ramen/internal/app", []string{"ramen/cmd", "ramen/clients"},
		"the wiring of a server needs no client"},
	{"ramen/loadtest", []string{"ramen/link", "ramen/topology", "ramen/store", "ramen/gateway", "ramen/frontend", "ramen/internal", "ramen/cmd"},
		"a load test knows a server by its wire contract alone"},
}

// TestImportsFollowTheArrows lists what the packages of the module import, tests left out.
func TestImportsFollowTheArrows(t *testing.T) {
	for _, p := range packages(t) {
		for _, imported := range p.Imports {
			for _, r := range rules {
				if broken(r, p.ImportPath, imported) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imported, r.why)
				}
			}
		}
	}
}

// TestArrowsCanFail shows that a forbidden import is found.
func TestArrowsCanFail(t *testing.T) {
	if !broken(rules[5], "ramen/frontend/route", "ramen/gateway") {
		t.Error("frontend/route importing gateway was not found")
	}
	if broken(rules[5], "ramen/frontend", "ramen/frontend/sock") {
		t.Error("frontend importing its own sock was taken for an error")
	}
}

func broken(r rule, from, to string) bool {
	if !under(from, r.from) {
		return false
	}
	for _, f := range r.to {
		if under(to, f) {
			return true
		}
	}
	return false
}

func under(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "ramen/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}
