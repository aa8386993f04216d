package system

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Everything that a device says of itself is what backends see of it, after a restart, too.
func TestRule01OpenSaysWhoAndWhat(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		c := open(place{user: "u1", device: "d1", context: map[string]string{
			"app": "rider", "app_version": "4.2", "os": "android", "os_version": "16", "model": "Pixel 9", "locale": "pt-BR", "label.city": "São Paulo", "label.a": "",
		}})
		d := s.devices("u1")["d1"]
		x := d.Context
		if x.App != "rider" || x.AppVersion != "4.2" || x.OS != "android" || x.OSVersion != "16" || x.Model != "Pixel 9" || x.Locale != "pt-BR" || x.Labels["city"] != "São Paulo" || len(x.Labels) != 2 {
			t.Errorf("context is %+v", x)
		}
		transport, _, _ := strings.Cut(c.transport, "-")
		if d.Transport != transport || d.Online != (transport != "poll") || d.LastSeenMS == 0 || d.Online && d.ConnectedMS == 0 {
			t.Errorf("the list says %+v", d)
		}
		c.close()
		s.untilOffline("u1", "d1")
		if !s.keeps() {
			return
		}
		s.restart()
		if after := s.devices("u1")["d1"]; !reflect.DeepEqual(after.Context, x) || after.Transport != transport || after.Online || after.LastSeenMS < d.LastSeenMS {
			t.Errorf("after a restart the list says %+v, before %+v", after, d)
		}
	})
}

// A value at its bound is taken.
func TestRule01OpenTakesTheLimits(t *testing.T) {
	matrix(t, []string{memory}, func(t *testing.T, s *server, open opener) {
		long := strings.Repeat("ü", 64)
		open(place{user: long, device: long})
		open(place{user: "u/1?&=%+", device: "d/#1"})
		labels := map[string]string{"app": strings.Repeat("a", 1024-16*3)}
		for i := range 16 {
			labels[fmt.Sprintf("label.%02d", i)] = "x"
		}
		open(place{user: "u1", device: "d1", context: labels})
		for _, ms := range []int{1000, 60000} {
			if c := open(place{user: "u1", device: "d1", heartbeatMS: ms}); c.transport != "poll" && (c.hello.HeartbeatMS != uint32(ms) || c.hello.TimeoutMS != uint32(ms*7/4)) {
				t.Errorf("asked for heartbeats every %d ms, hello is %+v", ms, c.hello)
			}
		}
		open(place{user: "u1", device: "d1", window: 1_000_000})
		open(place{user: "u1", device: "d1", more: map[string][]string{"unheard_of": {"1"}}})
		if n := len(s.devices(long)); n != 1 {
			t.Errorf("the list of a user of 128 bytes has %d devices", n)
		}
	})
}

// A bad value is invalid_argument, as each transport says it, and makes no device known.
func TestRule01OpenRefusesBadValues(t *testing.T) {
	matrix(t, []string{memory}, func(t *testing.T, s *server, open opener) {
		transport := transportOf(t)
		tooMany := map[string]string{}
		for i := range 17 {
			tooMany[fmt.Sprintf("label.%d", i)] = "x"
		}
		for name, p := range map[string]place{
			"no user":            {device: "d1"},
			"no device":          {user: "u1"},
			"long user":          {user: strings.Repeat("u", 129), device: "d1"},
			"long device":        {user: "u1", device: strings.Repeat("d", 129)},
			"space in a user":    {user: "u 1", device: "d1"},
			"control in device":  {user: "u1", device: "d\t1"},
			"cursor characters":  {user: "u1", device: "d1", cursor: "k/1"},
			"cursor too long":    {user: "u1", device: "d1", cursor: strings.Repeat("k", 129)},
			"heartbeat too fast": {user: "u1", device: "d1", heartbeatMS: 999},
			"heartbeat too slow": {user: "u1", device: "d1", heartbeatMS: 60001},
			"context too big":    {user: "u1", device: "d1", context: map[string]string{"app": strings.Repeat("a", 1025)}},
			"labels with keys":   {user: "u1", device: "d1", context: map[string]string{"app": strings.Repeat("a", 1020), "label.city": "x"}},
			"labels too many":    {user: "u1", device: "d1", context: tooMany},
		} {
			e := s.refused(t, transport, p)
			expectRefused(t, transport, e, "invalid_argument")
			if t.Failed() {
				t.Fatalf("that was: %s", name)
			}
		}
		if n := len(s.devices("u1")); n != 0 {
			t.Errorf("%d devices are known", n)
		}
	})
}

// In a query 0 is no window. SPEC 2.10.
func TestRule01OpenRefusesBadNumbersInQueries(t *testing.T) {
	matrixOf(t, []string{"sse", "ws-json", "poll"}, []string{memory}, nil, func(t *testing.T, s *server, open opener) {
		transport := transportOf(t)
		for _, bad := range []string{"window=0", "window=-1", "window=x", "heartbeat_ms=x", "heartbeat_ms=0", "seq=-1", "seq=x", "stream=a/b"} {
			k, v, _ := strings.Cut(bad, "=")
			e := s.refused(t, transport, place{user: "u1", device: "d1", more: map[string][]string{k: {v}}})
			if expectRefused(t, transport, e, "invalid_argument"); t.Failed() {
				t.Fatalf("that was: %s", bad)
			}
		}
	})
	t.Run("wait", func(t *testing.T) {
		s := serve(t, testConfig(t, memory))
		for _, bad := range []string{"61", "-1", "x"} {
			if r := s.do("GET", s.deviceURL("/ramen/poll?user=u&device=d&wait="+bad), ""); r.status != 400 {
				t.Errorf("wait=%s: %d %s", bad, r.status, r.body)
			}
		}
	})
}
