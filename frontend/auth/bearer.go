package auth

import "strings"

// Bearer is the credential in the value of an Authorization header; false where the scheme is another. RFC 6750 2.1. The
// scheme's case does not matter: RFC 9110 11.1.
func Bearer(authorization string) (credential string, ok bool) {
	scheme, rest, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(rest), true
}

// Credential is the value that counts where Authorization came several times: the first of scheme Bearer, since a browser or a
// proxy may have added one of its own, else the first.
func Credential(values []string) string {
	for _, v := range values {
		if _, ok := Bearer(v); ok {
			return v
		}
	}
	if len(values) > 0 {
		return values[0]
	}
	return ""
}
