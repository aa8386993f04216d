package system

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

// ends is what a reason is on each transport. SPEC 6 and 7.
var ends = map[string]struct {
	close int
	code  codes.Code
}{
	"drain":              {1001, codes.Unavailable},
	"rebalance":          {1001, codes.Unavailable},
	"superseded":         {4409, codes.Aborted},
	"unauthenticated":    {4401, codes.Unauthenticated},
	"permission_denied":  {4403, codes.PermissionDenied},
	"invalid_argument":   {4400, codes.InvalidArgument},
	"resource_exhausted": {4529, codes.ResourceExhausted},
	"ack_timeout":        {4508, codes.DeadlineExceeded},
	"too_slow":           {4513, codes.ResourceExhausted},
	"unavailable":        {1013, codes.Unavailable},
	"disconnected":       {4404, codes.Canceled},
}

// expectEnd fails unless e is the end of an open stream for reason, goaway included.
func expectEnd(t testing.TB, transport string, e *ending, reason string) {
	t.Helper()
	if e.goaway == nil {
		t.Fatalf("%s: no goaway before the end: %v", transport, e)
	}
	if got := e.goaway.Reason.String(); got != reason {
		t.Fatalf("%s: goaway has the reason %q, want %q: %v", transport, got, reason, e)
	}
	if strings.HasPrefix(e.goaway.Detail, reason) || strings.Count(e.text, reason+":") > 1 {
		t.Errorf("%s: the reason is told twice: %q, %q", transport, e.goaway.Detail, e.text)
	}
	moves := reason == "drain" || reason == "rebalance"
	if moves != (e.goaway.ReconnectMS > 0) {
		t.Errorf("%s: goaway %s has reconnect_ms %d", transport, reason, e.goaway.ReconnectMS)
	}
	expectClose(t, transport, e, reason)
}

// expectClose fails unless the transport's own end is that of reason.
func expectClose(t testing.TB, transport string, e *ending, reason string) {
	t.Helper()
	if e.err != nil {
		t.Fatalf("%s: %v", transport, e)
	}
	switch transport {
	case "ws-json", "ws-proto":
		if e.close != ends[reason].close || e.text == "" {
			t.Errorf("%s: close code %d %q, want %d and a text", transport, e.close, e.text, ends[reason].close)
		}
	case "grpc":
		if e.code == nil || *e.code != ends[reason].code {
			t.Errorf("%s: ended with %v, want %v", transport, e, ends[reason].code)
		}
	}
}

// expectRefused fails unless e is how the transport refuses an opening with a bad value, token or right. SPEC 2.12, 4.
func expectRefused(t testing.TB, transport string, e *ending, reason string) {
	t.Helper()
	status := map[string]int{
		"invalid_argument": http.StatusBadRequest, "unauthenticated": http.StatusUnauthorized, "permission_denied": http.StatusForbidden,
	}[reason]
	switch transport {
	case "sse", "poll":
		if e.status != status || e.body.Code != reason || e.goaway != nil {
			t.Errorf("%s: refused with %v, want %d %s", transport, e, status, reason)
		}
	case "grpc":
		expectEnd(t, transport, e, reason)
	default: // told by the close code alone
		if e.goaway != nil || e.status != 0 {
			t.Errorf("%s: refused with %v, want a close code without goaway", transport, e)
		}
		expectClose(t, transport, e, reason)
	}
}
