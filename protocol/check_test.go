package protocol

import (
	"fmt"
	"strings"
	"testing"
)

var nameChecks = []struct {
	what  string
	check func(string) error
	empty bool // allowed
}{
	{"user", CheckUser, false}, {"device", CheckDevice, false}, {"id", CheckMessageID, false}, {"type", CheckType, true}, {"collapse_key", CheckCollapseKey, true},
}

func TestNamesArePrintableWithoutSpaces(t *testing.T) {
	good := []string{"u", "0198f3c2-7a10-7cc3-9a51-0c2f5a3b9d10", "!~", "a/b?c#d&e=f%20", `"\<>`, "Ольга", "日本", "é", "e\u0301", "😀", "\uFFFD", "€", strings.Repeat("a", 128), strings.Repeat("é", 64)}
	bad := []string{" ", "a b", "a ", "\ta", "a\n", "\x00", "\x1f", "\x7f", "\u0080", "\u0085", "\u00a0", "\u1680", "\u2003", "\u2028", "\u2029", "\u3000", "a\u200b", "\ufeffa", "\u00ad", "\u202e",
		"\xff", "a\xc3", "\xed\xa0\x80", strings.Repeat("a", 129), strings.Repeat("é", 65), strings.Repeat("a", 1<<16)}
	for _, n := range nameChecks {
		for _, s := range good {
			if err := n.check(s); err != nil {
				t.Errorf("%s %q: %v", n.what, s, err)
			}
		}
		for _, s := range bad {
			wantTold(t, n.check(s), n.what)
		}
		if err := n.check(""); (err == nil) != n.empty {
			t.Errorf("empty %s: %v", n.what, err)
		}
	}
}

// wantTold fails unless err is an invalid_argument that is short, printable and names what it is about.
func wantTold(t *testing.T, err error, about string) {
	t.Helper()
	e, ok := err.(*Error)
	if !ok || e.Code != CodeInvalidArgument || !strings.Contains(e.Message, about) || len(e.Message) > 500 {
		t.Errorf("about %s: %v", about, err)
		return
	}
	for _, r := range e.Message {
		if r < ' ' {
			t.Errorf("%q is not printable", e.Message)
		}
	}
}

func TestContextIsBounded(t *testing.T) {
	labels := func(n, size int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprintf("k%03d", i)] = strings.Repeat("v", size)
		}
		return m
	}
	long := strings.Repeat("a", 512)
	for _, good := range []*DeviceContext{nil, {}, {App: long, Locale: long}, {Labels: labels(16, 60)}, {App: "two words", Model: "Pixel 9"}, {Labels: map[string]string{"": ""}}} {
		if err := CheckContext(good); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []*DeviceContext{{App: long, Locale: long + "a"}, {Labels: labels(17, 0)}, {Labels: labels(16, 61)}, {OS: "\xff"}, {Labels: map[string]string{"\xff": ""}}, {Labels: map[string]string{"a": "\xff"}},
		{AppVersion: long + long + "a"}, {OSVersion: long + long + "a"}, {Model: long + long + "a"}, {OS: long + long + "a"}} {
		wantTold(t, CheckContext(bad), "context")
	}
}

func TestHeadersAreBounded(t *testing.T) {
	key := strings.Repeat("k", 96)
	for _, good := range []map[string]string{nil, {}, {"a": ""}, {key: strings.Repeat("v", 4000)}, {"é": "\n"}} {
		if err := CheckHeaders(good); err != nil {
			t.Errorf("%d: %v", HeadersSize(good), err)
		}
	}
	for _, bad := range []map[string]string{{key: strings.Repeat("v", 4001)}, {"\xff": ""}, {"a": "\xff"}} {
		wantTold(t, CheckHeaders(bad), "headers")
	}
}

func TestWhereHasKnownKeysAlone(t *testing.T) {
	good := map[string]string{"app": "a", "app_version": "1", "os": "", "os_version": "é", "model": "Pixel 9", "locale": "de", "label.x": "1", "label. ": "", "label.label.": ""}
	if err := CheckWhere(good); err != nil {
		t.Error(err)
	}
	if err := CheckWhere(nil); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"", "App", "app ", "label", "label.", "Label.x", "labels.x", "version", "user", "\xff", strings.Repeat("x", 2000)} {
		wantTold(t, CheckWhere(map[string]string{key: "1"}), "label.NAME")
	}
	wantTold(t, CheckWhere(map[string]string{"app": "\xff"}), "where")
	wantTold(t, CheckWhere(map[string]string{"app": strings.Repeat("x", 5000)}), "where")
}

func TestWhereMatchesWhatTheContextHas(t *testing.T) {
	c := goldenContext()
	for where, want := range map[[2]string]bool{
		{"app", "rider"}: true, {"app_version", "5.1.0"}: true, {"os", "android"}: true, {"os_version", "16"}: true, {"model", `Pixel "9"`}: true,
		{"locale", "uk-UA"}: true, {"label.zone", "Київ"}: true, {"label.a", ""}: true, {"label.none", ""}: true,
		{"app", "Rider"}: false, {"app", ""}: false, {"label.zone", ""}: false, {"label.none", "x"}: false,
	} {
		if c.Matches(map[string]string{where[0]: where[1]}) != want {
			t.Errorf("%q: want %v", where, want)
		}
	}
	var none *DeviceContext
	if !none.Matches(nil) || !none.Matches(map[string]string{"app": ""}) || none.Matches(map[string]string{"app": "x"}) {
		t.Error("no context matches other than an empty one")
	}
}
