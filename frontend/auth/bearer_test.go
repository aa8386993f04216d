package auth

import "testing"

// TestFix02CredentialIsTheBearer: whoever else has put an Authorization beside it.
func TestFix02CredentialIsTheBearer(t *testing.T) {
	for _, c := range []struct {
		values []string
		want   string
		bearer bool
	}{
		{nil, "", false},
		{[]string{"Basic a"}, "Basic a", false},
		{[]string{"Basic a", "bearer  k "}, "k", true},
		{[]string{"Bearer k", "Bearer l"}, "k", true},
		{[]string{"Negotiate", "Bearer"}, "", true},
		{[]string{"Bearerk"}, "Bearerk", false},
	} {
		got := Credential(c.values)
		b, ok := Bearer(got)
		if ok {
			got = b
		}
		if got != c.want || ok != c.bearer {
			t.Errorf("%q: %q %v", c.values, got, ok)
		}
	}
}
