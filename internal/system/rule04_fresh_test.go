package system

import (
	"strings"
	"testing"

	"ramen/internal/app"
)

// With a place that the server cannot honour the stream is not resumed, all that is pending comes, and nothing counts as acked.
func TestRule04NotResumed(t *testing.T) {
	matrix(t, stores, func(t *testing.T, s *server, open opener) {
		// The cursors and streams of others, and of this device.
		taken := func(user, device string) (cursor, stream string) {
			c := open(place{user: user, device: device})
			c.ids(3)
			stream = c.hello.Stream
			cursor = c.last.Cursor
			c.close()
			s.untilOffline(user, device)
			return cursor, stream
		}
		s.publishAll(numbered("u1", "m", 3))
		s.publishAll(numbered("u2", "m", 3))
		own, old := taken("u1", "d1")
		_, latest := taken("u1", "d1")
		ofDevice, deviceStream := taken("u1", "d2")
		ofUser, _ := taken("u2", "d1")
		forged := []byte(own) // of the right shape, and wrong in one place
		if at := len(forged) / 2; forged[at] == 'A' {
			forged[at] = 'B'
		} else {
			forged[at] = 'A'
		}
		for name, p := range map[string]place{
			"nothing":                  {},
			"another device's cursor":  {cursor: ofDevice},
			"another user's cursor":    {cursor: ofUser},
			"a forged cursor":          {cursor: string(forged)},
			"a cursor that is none":    {cursor: "hello.world-_1"},
			"a long one":               {cursor: strings.Repeat("k", 128)},
			"a bare seq":               {seq: 2, hasSeq: true},
			"an old stream":            {seq: 2, hasSeq: true, stream: old},
			"another device's stream":  {seq: 2, hasSeq: true, stream: deviceStream},
			"a stream that never was":  {seq: 2, hasSeq: true, stream: "s9.9"},
			"a forged cursor with seq": {seq: 2, hasSeq: true, stream: latest, cursor: ofUser},
		} {
			p.user, p.device = "u1", "d1"
			if p.hasSeq && p.stream == latest {
				_, p.stream = taken("u1", "d1")
			}
			if c := open(p); c.hello.Resumed {
				t.Fatalf("with %s it was resumed: %+v", name, c.hello)
			} else {
				equal(t, "with "+name, c.ids(3), []string{"m-1", "m-2", "m-3"})
				c.close()
			}
			if n := s.devices("u1")["d1"].Pending; n != 3 {
				t.Fatalf("after %s %d messages are pending", name, n)
			}
		}
		// Beyond what was pushed, on a stream that is known.
		_, latest = taken("u1", "d1")
		if c := open(place{user: "u1", device: "d1", seq: 1 << 40, hasSeq: true, stream: latest}); c.hello.Resumed {
			t.Errorf("beyond what was pushed it was resumed: %+v", c.hello)
		} else {
			equal(t, "beyond", c.ids(3), []string{"m-1", "m-2", "m-3"})
		}
	})
}

// A cursor of a store that has been wiped is nobody's.
func TestRule04NotResumedAfterAWipe(t *testing.T) {
	matrix(t, local, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 3))
		p := place{user: "u1", device: "d1", window: 3}
		c := open(p)
		c.ids(3)
		p.cursor = c.last.Cursor
		c.close()
		s.cfg.Data = t.TempDir()
		s.restart()
		s.publishAll(numbered("u1", "n", 3))
		if c = open(p); c.hello.Resumed {
			t.Errorf("hello is %+v", c.hello)
		}
		equal(t, "after a wipe", c.ids(3), []string{"n-1", "n-2", "n-3"})
		p.cursor = c.last.Cursor
		c.close()
		if c = open(p); !c.hello.Resumed {
			t.Errorf("with a cursor of the new store hello is %+v", c.hello)
		}
	})
}

// Where cursor and seq are both given, the cursor counts; a header Last-Event-ID wins over both.
func TestRule04CursorCountsBeforeSeq(t *testing.T) {
	matrixOf(t, transports, []string{memory}, func(*app.Config) {}, func(t *testing.T, s *server, open opener) {
		s.publishAll(numbered("u1", "m", 4))
		p := place{user: "u1", device: "d1", window: pollWindow(t)}
		c := open(p)
		c.push()
		cursor := c.last.Cursor
		name := c.hello.Stream
		c.push()
		c.close()
		c = open(place{user: "u1", device: "d1", cursor: cursor, seq: 9, hasSeq: true, stream: name})
		if !c.hello.Resumed {
			t.Errorf("hello is %+v", c.hello)
		}
		equal(t, "behind the cursor", c.ids(3), []string{"m-2", "m-3", "m-4"})
	})
}
