package driver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestURLsAreRead(t *testing.T) {
	for _, c := range []struct {
		text, shown, scheme, password string
		hosts                         []string // with port 6379 where there is none
		path                          string
	}{
		{text: "pebble:", shown: "pebble:", scheme: "pebble"},
		{text: "pebble:/var/lib/ramen", shown: "pebble:/var/lib/ramen", scheme: "pebble", path: "/var/lib/ramen"},
		{text: "pebble:data/here", shown: "pebble:data/here", scheme: "pebble"},
		{text: "redis://h", shown: "redis://h", scheme: "redis", hosts: []string{"h:6379"}},
		{text: "redis://:top@h:1/3", shown: "redis://h:1/3", scheme: "redis", password: "top", hosts: []string{"h:1"}, path: "/3"},
		{text: "rediss://me:t%2Fo%40p@h:1,i:2/3?x=1", shown: "rediss://me@h:1,i:2/3?x=1", scheme: "rediss", password: "t/o@p", hosts: []string{"h:1", "i:2"}, path: "/3"},
		{text: "redis+sentinel://h1:1,h2/master", shown: "redis+sentinel://h1:1,h2/master", scheme: "redis+sentinel", hosts: []string{"h1:1", "h2:6379"}, path: "/master"},
		{text: "redis+cluster://[::1]:7,[::2]", shown: "redis+cluster://[::1]:7,[::2]", scheme: "redis+cluster", hosts: []string{"[::1]:7", "[::2]:6379"}},
		{text: "cassandra://u:p:q@h1,h2/keys?dc=east", shown: "cassandra://u@h1,h2/keys?dc=east", scheme: "cassandra", password: "p:q", hosts: []string{"h1:6379", "h2:6379"}, path: "/keys"},
	} {
		u, err := ParseURL(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		password, set := u.Password()
		if u.String() != c.shown || u.Scheme() != c.scheme || password != c.password || set != (c.password != "") || u.Location().Path != c.path {
			t.Errorf("%s is %s, scheme %s, password %q, path %q", c.text, u, u.Scheme(), password, u.Location().Path)
		}
		if again, err := ParseURL(u.String()); err != nil || again.String() != u.String() {
			t.Errorf("%s reads back as %s, %v", u, again, err)
		}
		if c.hosts == nil {
			continue
		}
		if hosts, err := Hosts(u.Location(), 6379); err != nil || !slices.Equal(hosts, c.hosts) {
			t.Errorf("hosts of %s: %v, %v", c.text, hosts, err)
		}
	}
}

func TestBadURLsAreRefusedWithoutTheirText(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "no scheme",
		"hunter2":                            "no scheme",
		"Redis://:hunter2@h":                 "no scheme",
		"redis://:hun/ter2@h/0":              "%2F",
		"redis://:hunter2%zz@h/0":            "special characters",
		"redis://:hun ter2\x7f@h/0":          "special characters",
		"redis://h/0#hunter2":                "%23",
		"redis://h/0?password=hunter2":       "no parameter",
		"redis://h/0?auth_pass=hunter2":      "no parameter",
		"redis://:hunter2@h/0?a=1;b=hunter2": "cannot be read",
		"redis://:hunter2@h/0?a=1&a=2":       "twice",
	} {
		_, err := ParseURL(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hun") || strings.Contains(err.Error(), "ter2") {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"redis:", "redis:///0", "redis://h:0", "redis://h:x", "redis://h,", "redis://h:1:2", "redis://::1", "redis://h:70000"} {
		u, err := ParseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if hosts, err := Hosts(u.Location(), 6379); err == nil {
			t.Errorf("%s has the hosts %v", text, hosts)
		}
	}
}

// TestPasswordsAreNotPrinted, however a URL is printed, and whatever it is a part of.
func TestPasswordsAreNotPrinted(t *testing.T) {
	u, err := ParseURL("redis://me:hunter2@h:1/0")
	if err != nil {
		t.Fatal(err)
	}
	type exported struct{ URL URL }
	type hidden struct{ url URL }
	var log bytes.Buffer
	both := []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)}
	for _, h := range both {
		slog.New(h).Info("open", "store", u, "in", exported{u}, "of", hidden{u}, "err", fmt.Errorf("open %v", u))
	}
	inJSON, err := json.Marshal(exported{u})
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(inJSON)
	for _, v := range []any{u, &u, exported{u}, &exported{u}, hidden{u}, &hidden{u}, []URL{u}, map[string]URL{"a": u}, u.Location()} {
		all += fmt.Sprintf("%v %+v %#v %s %q\n", v, v, v, v, v)
	}
	if strings.Contains(all, "hunter2") {
		t.Errorf("there is the password in\n%s", all)
	}
	if strings.Count(all, "redis://me@h:1/0") < 10 {
		t.Errorf("there is no URL in\n%s", all)
	}
}

func TestUnknownParametersAreRefused(t *testing.T) {
	u, err := ParseURL("cassandra://h/k?dc=east&dv=1")
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckParameters(u.Location(), "dc", "dv"); err != nil {
		t.Error(err)
	}
	if err := CheckParameters(u.Location(), "dc"); err == nil || !strings.Contains(err.Error(), `"dv"`) || !strings.Contains(err.Error(), "there are dc") {
		t.Error(err)
	}
	if err := CheckParameters(u.Location()); err == nil {
		t.Error("two parameters are none")
	}
}
