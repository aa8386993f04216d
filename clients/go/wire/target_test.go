package wire

import (
	"crypto/tls"
	"strings"
	"testing"
)

// TestFix08GRPCAddressSaysHowToSpeak: a scheme means TLS or cleartext; what cannot be dialled is refused before anything is tried.
func TestFix08GRPCAddressSaysHowToSpeak(t *testing.T) {
	cfg := &tls.Config{}
	for _, c := range []struct {
		addr   string
		cfg    *tls.Config
		want   string
		secure bool
	}{
		{"push.example.com:8081", nil, "push.example.com:8081", false},
		{"push.example.com:8081", cfg, "push.example.com:8081", true},
		{"[::1]:8081", nil, "[::1]:8081", false},
		{"https://push.example.com", nil, "push.example.com:443", true},
		{"https://push.example.com:9443/", nil, "push.example.com:9443", true},
		{"https://[::1]", nil, "[::1]:443", true},
		{"http://push.example.com:8081", nil, "push.example.com:8081", false},
		{"dns:///push.example.com:8081", nil, "dns:///push.example.com:8081", false},
		{":8081", nil, ":8081", false},
		{"dns:push.example.com:8081", nil, "dns:push.example.com:8081", false},
		{"passthrough:///10.0.0.1:8081", nil, "passthrough:///10.0.0.1:8081", false},
		{"unix:/run/ramen.sock", nil, "unix:/run/ramen.sock", false},
	} {
		got, err := ParseGRPCTarget(c.addr, c.cfg)
		if err != nil || got.Addr != c.want || (got.TLS != nil) != c.secure {
			t.Errorf("%s: %+v, %v", c.addr, got, err)
		}
	}
	for addr, want := range map[string]string{
		"push.example.com":        "use host:port",
		"":                        "use host:port",
		"::1":                     "use host:port",
		"ftp://push.example.com":  "unknown scheme",
		"https://h/path":          "without user, path or query",
		"http://push.example.com": "use host:port",
	} {
		if got, err := ParseGRPCTarget(addr, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %+v, %v, not %q", addr, got, err, want)
		}
	}
	if _, err := ParseGRPCTarget("http://h:1", cfg); err == nil || !strings.Contains(err.Error(), "use https://") {
		t.Errorf("http with TLS: %v", err)
	}
}

// TestFix08URLWithoutSchemeIsExplained: the commonest slip gets the two lines that work.
func TestFix08URLWithoutSchemeIsExplained(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:9080":    "the scheme is missing: use http://127.0.0.1:9080",
		"localhost:9080":    "the scheme is missing: use http://localhost:9080",
		"push.example.com":  "the scheme is missing: use http://push.example.com, or https://push.example.com",
		"ftp://example.com": "use http://host:port",
		"http://":           "use http://host:port",
		"":                  "use http://host:port",
	} {
		if _, err := CheckURL(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
}
