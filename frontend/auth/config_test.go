package auth

import (
	"strings"
	"testing"
)

func TestCookieOfTokensIsAName(t *testing.T) {
	with := func(name string) TokensConfig {
		c := Default().Tokens
		c.Secret, c.Cookie = strings.Repeat("s", 32), name
		return c
	}
	for _, name := range []string{"", "ramen", "__Host-ramen", "__Secure-r.1"} {
		if err := with(name).Validate(); err != nil {
			t.Errorf("%q is refused: %v", name, err)
		}
	}
	for _, name := range []string{"a b", "a=b", "a;b", `"a"`, "ä", "a,b", "a\n"} {
		if err := with(name).Validate(); err == nil || !strings.Contains(err.Error(), "tokens.cookie") {
			t.Errorf("%q: %v", name, err)
		}
	}
	c := Default().Tokens
	c.Cookie = "ramen"
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "no source of keys") {
		t.Errorf("a cookie without keys: %v", err)
	}
}
