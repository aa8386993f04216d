package origin

import (
	"strings"
	"testing"
)

// TestFix03ConfiguredOriginsMeanWhatBrowsersSend, or are refused with the right form.
func TestFix03ConfiguredOriginsMeanWhatBrowsersSend(t *testing.T) {
	for _, c := range []struct {
		value string
		in    []string // Origin headers
		out   []string
	}{
		{"https://app.example.com", []string{"https://app.example.com"}, []string{"http://app.example.com", "https://app.example.com:8443", "https://example.com", "https://app.example.com.evil.com", "https://xapp.example.com", "null", ""}},
		{"HTTPS://App.Example.COM:443", []string{"https://app.example.com"}, []string{"https://app.example.com:80"}},
		{"http://app.example.com:80", []string{"http://app.example.com"}, []string{"https://app.example.com"}},
		{"https://app.example.com:08443", []string{"https://app.example.com:8443"}, []string{"https://app.example.com"}},
		{"https://bücher.example", []string{"https://xn--bcher-kva.example"}, []string{"https://bucher.example"}},
		{"https://BÜCHER.example", []string{"https://xn--bcher-kva.example"}, nil},
		{"https://faß.example", []string{"https://xn--fa-hia.example"}, []string{"https://fass.example"}},
		{"https://例え.テスト", []string{"https://xn--r8jz45g.xn--zckzah"}, nil},
		{"https://xn--bcher-kva.example", []string{"https://xn--bcher-kva.example"}, nil},
		{"https://my_app.example", []string{"https://my_app.example"}, nil},
		{"https://r3---sn.example", []string{"https://r3---sn.example"}, nil},
		{"https://*.example.com", []string{"https://a.example.com", "https://b.a.example.com"},
			[]string{"https://example.com", "https://.example.com", "https://evilexample.com", "http://a.example.com", "https://a.example.com:8443", "https://a.example.com.evil.com", "https://evil.com/.example.com", "https://evil.com#.example.com", "https://u@a.example.com"}},
		{"https://*.Example.com:443", []string{"https://a.example.com"}, nil},
		{"https://*.bücher.example:8443", []string{"https://a.xn--bcher-kva.example:8443"}, []string{"https://a.xn--bcher-kva.example"}},
		{"http://192.0.2.1:3000", []string{"http://192.0.2.1:3000"}, []string{"http://192.0.2.1"}},
		{"http://[2001:DB8:0::1]:3000", []string{"http://[2001:db8::1]:3000"}, nil},
		{"http://[::ffff:192.0.2.1]", []string{"http://[::ffff:c000:201]"}, nil},
		{"capacitor://localhost", []string{"capacitor://localhost"}, []string{"http://localhost"}},
		{"chrome-extension://abcdefghij", []string{"chrome-extension://abcdefghij"}, nil},
		{"file://", []string{"file://"}, []string{"null"}},
		{"null", []string{"null"}, []string{"file://"}},
		{"*", []string{"https://any.example", "null", "file://"}, []string{""}},
	} {
		if err := Check(c.value); err != nil {
			t.Errorf("%q is refused: %v", c.value, err)
			continue
		}
		p := New([]string{c.value}, false)
		for _, o := range c.in {
			if !p.Allows(o) {
				t.Errorf("%q keeps %q out", c.value, o)
			}
		}
		for _, o := range c.out {
			if p.Allows(o) {
				t.Errorf("%q lets %q in", c.value, o)
			}
		}
	}
}

func TestFix03ConfiguredOriginsThatNoPageHasAreRefused(t *testing.T) {
	for value, want := range map[string]string{
		"app.example.com":             "it has no scheme: write https://app.example.com",
		"//app.example.com":           "write https://app.example.com",
		"localhost:3000":              "it has no scheme",
		"":                            "it has no scheme",
		"https://app.example.com/":    "no slash, path or query after host and port: write https://app.example.com",
		"https://app.example.com/a":   "write https://app.example.com",
		"https://app.example.com?a":   "write https://app.example.com",
		"https://app.example.com#a":   "write https://app.example.com",
		"https://u:p@app.example.com": "an origin has no user: write https://app.example.com",
		"wss://app.example.com":       "no page has the scheme wss; use the scheme of the page that opens the WebSocket: write https://app.example.com",
		"ws://app.example.com":        "write http://app.example.com",
		"ht tp://app.example.com":     `"ht tp" is not a valid scheme`,
		"://app.example.com":          "is not a valid scheme",
		"https://":                    "is not a host name",
		"https://*":                   "to allow every origin write just *",
		"https://*.":                  "is not a host name",
		"https://a.*.example.com":     "* may only replace the first label of a name",
		"https://app-*.example.com":   "* may only replace the first label of a name",
		"https://*example.com":        "* may only replace the first label of a name",
		"https://*.192.0.2.1":         "an IP address has no subdomains",
		"https://*.[::1]":             "an IP address has no subdomains",
		"https://app.example.com:":    `"" is not a port`,
		"https://app.example.com:*":   `"*" is not a port`,
		"https://app.example.com:0":   `"0" is not a port`,
		"https://app.example.com:1e9": `"1e9" is not a port`,
		"https://2001:db8::1":         "needs brackets",
		"https://[2001:db8::1":        "is not an IPv6 address",
		"https://[::1%eth0]":          "without a zone",
		"https://[192.0.2.1]":         "is not an IPv6 address",
		"https://192.0.2":             "is not an IPv4 address",
		"https://192.0.2.01":          "is not an IPv4 address",
		"https://a..example.com":      "is not a host name",
		"https://a b.example.com":     "is not a host name",
		"https://a,https://b":         "no slash",
		"https://app.example.com ":    "is not a host name",
		"https://xn--a.example":       "is not a host name",
		"**":                          "it has no scheme",
	} {
		if err := Check(value); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v; want %s", value, err, want)
		}
	}
}

func TestLoopbackOrigins(t *testing.T) {
	p := New(nil, true)
	for o, want := range map[string]bool{
		"http://localhost:3000": true, "https://a.localhost": true, "http://127.9.9.9:1": true, "http://[::1]:3000": true, "null": true,
		"http://localhost.evil.com": false, "http://192.168.0.1": false, "http://127.0.0.1.evil.com": false, "file://": false, "": false,
	} {
		if p.Allows(o) != want {
			t.Errorf("%q: %v", o, !want)
		}
	}
}

// TestFix03OwnOriginMayNameTheDefaultPort, on either side.
func TestFix03OwnOriginMayNameTheDefaultPort(t *testing.T) {
	for _, c := range []struct {
		origin, host string
		want         bool
	}{
		{"https://push.example.com", "push.example.com", true},
		{"https://push.example.com", "Push.Example.com:443", true},
		{"https://push.example.com:443", "push.example.com", true},
		{"http://push.example.com", "push.example.com:80", true},
		{"http://push.example.com:8080", "push.example.com:8080", true},
		{"https://push.example.com", "push.example.com:80", false},
		{"https://push.example.com:8080", "push.example.com", false},
		{"https://evil.example.com", "push.example.com", false},
		{"null", "push.example.com", false},
		{"file://", "", false},
		{"http://", "", false},
		{"http://[::1]", "[::1]:80", true},
	} {
		if Own(c.origin, c.host) != c.want {
			t.Errorf("%q at %q: %v", c.origin, c.host, !c.want)
		}
	}
}

func TestFix04LocalIsWhatNobodyElseCanGiveOut(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST:8080": true, "localhost.": true, "a.localhost:1": true, "127.0.0.1": true, "127.0.0.1:8080": true, "192.168.1.7:9080": true,
		"[::1]": true, "[::1]:8080": true, "::1": true, "[::1]evil.example": false, "[evil.example]": false, "127.0.0.1:": true, "[fe80::1]:8080": true,
		"evil.example": false, "evil.example:8080": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "notlocalhost": false,
		"127.1": false, "2130706433": false, "ramen": false, "": false, "1.2.3.4.": false,
	} {
		if Local(host) != want {
			t.Errorf("%q: %v", host, !want)
		}
	}
}

// TestLocalAllocatesNothing: every connect without authentication comes by.
func TestLocalAllocatesNothing(t *testing.T) {
	for _, host := range []string{"localhost", "localhost:8080", "127.0.0.1:8080", "[::1]:8080", "192.168.1.7"} {
		if n := testing.AllocsPerRun(100, func() { Local(host) }); n != 0 {
			t.Errorf("%s: %v allocations", host, n)
		}
	}
}

// FuzzCheck: what is taken lets its own form in, and a page on another name never.
func FuzzCheck(f *testing.F) {
	for _, s := range []string{"https://app.example.com", "https://*.bücher.example:443", "http://[::1]:80", "capacitor://localhost", "null", "*.a://b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if value == anyOrigin || Check(value) != nil {
			return
		}
		p, o := New([]string{value}, false), parts{}
		if value != opaque && value != files {
			o, _ = parse(value)
			if !o.wild && !p.Allows(o.String()) {
				t.Fatalf("%q does not let %q in", value, o)
			}
		}
		if p.Allows("https://evil.invalid") && !strings.HasSuffix(o.host, "invalid") {
			t.Fatalf("%q lets others in", value)
		}
	})
}
