package request

import (
	"net/url"
	"reflect"
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

// A connect leaves nothing behind from the reading of its query: what is freed beside streams that stay leaves holes in memory.
func TestAQueryIsReadWithoutAllocation(t *testing.T) {
	r := &Reader{}
	h := &Head{Query: "user=u&device=d&cursor=k3.1&window=9&heartbeat_ms=4000&heartbeat=event&wait=7&unknown=x"}
	var got Stream
	if n := testing.AllocsPerRun(100, func() {
		var err error
		if got, err = r.Stream(h); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if got.User != "u" || got.Device != "d" || got.Cursor != "k3.1" || got.Window != 9 || got.HeartbeatMS != 4000 || !got.HeartbeatEvents || got.WaitS != 7 {
		t.Errorf("read as %+v", got)
	}
}

// What a device says of itself reaches its context.
func TestEveryParameterOfTheContextIsRead(t *testing.T) {
	q, err := parseQuery("app=a&app_version=b&os=c&os_version=d&model=e&locale=f&label.g=h")
	if err != nil {
		t.Fatal(err)
	}
	want := protocol.DeviceContext{App: "a", AppVersion: "b", OS: "c", OSVersion: "d", Model: "e", Locale: "f", Labels: map[string]string{"g": "h"}}
	if !reflect.DeepEqual(*q.context, want) {
		t.Errorf("read as %+v", *q.context)
	}
}
