package request

import (
	"net/url"
	"testing"

	"ramen/protocol"
)

func FuzzQuery(f *testing.F) {
	for _, seed := range []string{
		"user=u&device=d&cursor=k3.1&window=9&heartbeat_ms=4000&heartbeat=event&app=a&label.city=sf", "seq=7&stream=s1&wait=25",
		"user=%41+%zz", "&&=&a=b&a", "label.=x", "cursor=&cursor=", "window=18446744073709551616",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := parseQuery(raw)
		if err != nil {
			if e, ok := err.(*protocol.Error); !ok || e.Code != protocol.CodeInvalidArgument || e.Message == "" {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if q.cursor != "" && !protocol.ValidCursor(q.cursor) || q.window < 0 || q.waitS < 0 || q.waitS > maxWait ||
			q.heartbeatMS != 0 && (q.heartbeatMS < 1000 || q.heartbeatMS > 60_000) || protocol.CheckContext(q.context) != nil {
			t.Fatalf("%q: let through %+v", raw, q)
		}
		v, err := url.ParseQuery(raw)
		if err == nil && v.Get("user") != q.user {
			t.Fatalf("%q: user is %q, not %q", raw, q.user, v.Get("user"))
		}
	})
}
