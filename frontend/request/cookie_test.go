package request

import (
	"testing"
	"time"

	"ramen/frontend/auth"
	"ramen/frontend/origin"
	"ramen/protocol"
)

// oneToken is a Verifier of a single token.
type oneToken string

func (o oneToken) Verify(token string) (auth.Claims, error) {
	if token != string(o) {
		return auth.Claims{}, protocol.Errorf(protocol.CodeUnauthenticated, "token is not known")
	}
	return auth.Claims{User: "u", Expires: time.Unix(1<<40, 0)}, nil
}

// A connect leaves nothing behind from the reading of its cookies, of which there may be many.
func TestACookieIsReadWithoutAllocation(t *testing.T) {
	pages := origin.New([]string{"https://app.example"}, false)
	pages.Cookies = true
	r := &Reader{Tokens: oneToken("a.b.c"), Cookie: "ramen", Pages: &pages}
	h := &Head{Page: origin.Page{Origin: "https://app.example"}, Query: "device=d", Cookies: "theme=dark; x; =; ramen=a.b.c; ramen2=x"}
	if n := testing.AllocsPerRun(100, func() {
		if got, err := r.Stream(h); err != nil || got.User != "u" {
			t.Fatal(got, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestErrorOfACookieNamesTheRemedy(t *testing.T) {
	pages := origin.New(nil, false)
	pages.Cookies = true
	r := &Reader{Tokens: oneToken("a.b.c"), Cookie: "ramen", Pages: &pages}
	for cookies, want := range map[string]string{
		"ramen=a.b.c": "the cookie does not count in requests of this page: its origin has to be named in frontend.origins, or be the server's own and told by Origin or Sec-Fetch-Site; or send Authorization: Bearer TOKEN",
		"ramen=":      "token is missing: send Authorization: Bearer TOKEN, or the parameter token",
		"":            "token is missing: send Authorization: Bearer TOKEN, or the parameter token",
	} {
		_, err := r.Stream(&Head{Page: origin.Page{Origin: "https://app.example"}, Query: "device=d", Cookies: cookies})
		if e, ok := err.(*protocol.Error); !ok || e.Code != protocol.CodeUnauthenticated || e.Message != want {
			t.Errorf("%q: %v", cookies, err)
		}
	}
}

func FuzzCookieNamed(f *testing.F) {
	f.Add("a=b; ramen=x", "ramen")
	f.Add(`ramen="x;y"; ramen`, "ramen")
	f.Fuzz(func(t *testing.T, cookies, name string) {
		value, n := cookieNamed(cookies, name)
		if n == 0 && value != "" || n > len(cookies) {
			t.Fatalf("%q of %q: %q, %d", name, cookies, value, n)
		}
	})
}
