package backend

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"ramen/frontend/h2/h2test"
	"ramen/protocol/ramenpb"
)

const publishStream = "/ramen.v1.Backend/PublishStream"

// unread is a request whose answer is as large as may be for its size: a thousand rejections.
func unread(t testing.TB) []byte {
	in := request(&ramenpb.Publish{Payload: bytes.Repeat([]byte(" "), 1000)})
	for range 1000 {
		in.Messages[0].Users = append(in.Messages[0].Users, "")
	}
	b, err := proto.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Publishers that send without end and read no answer hold what they may hold; others go on meanwhile, over every way in.
func TestFix18StreamsThatReadNothingStopNobody(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Publish.MaxBody, c.BytesUnderWay, c.StreamRequests = 64<<10, 8<<20, 64 }, nil)
	b := unread(t)
	for range 8 {
		c, err := net.Dial("tcp", r.conn.Target())
		if err != nil {
			t.Fatal(err)
		}
		h := h2test.NewClient(c, 0)
		t.Cleanup(h.Close)
		var streams []uint32
		for range 10 {
			streams = append(streams, h.Call(publishStream))
		}
		for range 200_000 / len(b) { // within each stream's window
			for _, id := range streams {
				frame := h2test.Frame(len(b), b)
				h.WriteData(id, false, frame)
			}
		}
		go h.Flush()
	}
	until(t, "they hold room, or have been ended for it", func() bool {
		return r.server.room.usedNow() > 1<<20 || r.counter(t, "ramen_backend_waited_for_total", nil) > 0
	})
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := r.grpc.Publish(ctx, request(&ramenpb.Publish{User: "u"})); err != nil {
			t.Fatal("a publish over gRPC:", err)
		}
		if res, body := r.do(t, "POST", "/v1/publish", `{"user":"u"}`); res.StatusCode != 200 {
			t.Fatal("a publish over HTTP:", body)
		}
		s, err := r.grpc.PublishStream(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(request(&ramenpb.Publish{User: "u"})); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Recv(); err != nil {
			t.Fatal("a publish stream:", err)
		}
		s.CloseSend()
	}
}

// Bodies that come slowly hold what has come of them and not what they declare, and not what others need.
func TestFix18SlowBodiesStopNobody(t *testing.T) {
	r := newRig(t, func(c *Config) { c.Publish.MaxBody, c.BytesUnderWay = 64<<10, 512<<10 }, nil)
	for i := range 64 {
		c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		fmt.Fprintf(c, "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", 64<<10)
		if i%2 == 0 {
			c.Write(bytes.Repeat([]byte(" "), 60<<10)) // nearly whole
		}
	}
	until(t, "they hold room", func() bool { return r.server.room.usedNow() >= 200<<10 })
	for range 20 {
		if res, body := r.do(t, "POST", "/v1/publish", `{"user":"u"}`+strings.Repeat(" ", 20<<10)); res.StatusCode != 200 {
			t.Fatal("a publish over HTTP:", body)
		}
		if _, err := r.grpc.Publish(t.Context(), request(&ramenpb.Publish{User: "u"})); err != nil {
			t.Fatal("a publish over gRPC:", err)
		}
	}
	// A large one needs the holders' half, which they have: those that are waited for longest make way.
	until(t, "a large publish over HTTP is taken", func() bool {
		res, _ := r.do(t, "POST", "/v1/publish", `{"user":"u"}`+strings.Repeat(" ", 50<<10))
		return res.StatusCode == 200
	})
}

// A stream that takes no answer ends after 30 s, and one that is slow but reads does not.
func TestFix18StreamThatTakesNoAnswersEnds(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, s *Server, _ *gateway, dial func() net.Conn) {
		c := h2test.NewClient(dial(), 0)
		defer c.Close()
		id, b := c.Call(publishStream), unread(t)
		send := func() {
			for range 10 { // more than the 64 KiB that grpc takes without a window
				c.Message(id, b, false)
			}
			c.Flush()
			synctest.Wait()
		}
		send() // these are answered together, and the answers wait
		send()
		idle := h2test.NewClient(dial(), 0)
		defer idle.Close()
		quiet := idle.Call(publishStream)
		idle.Flush()
		time.Sleep(29 * time.Second)
		synctest.Wait()
		if s.room.usedNow() == 0 {
			t.Fatal("it holds nothing after 29 s")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if n := s.room.usedNow(); n != 0 {
			t.Errorf("it holds %d bytes after 32 s", n)
		}
		c.WriteWindowUpdate(0, 1<<20)
		c.WriteWindowUpdate(id, 1<<20)
		c.Flush()
		if got := c.Status(id); got != "8" {
			t.Errorf("it ended with the status %q, want RESOURCE_EXHAUSTED", got)
		}
		time.Sleep(10 * time.Minute)
		idle.Message(quiet, b, true)
		idle.WriteWindowUpdate(0, 1<<20)
		idle.WriteWindowUpdate(quiet, 1<<20)
		idle.Flush()
		if got := idle.Status(quiet); got != "0" {
			t.Errorf("the one that was only quiet ended with the status %q", got)
		}
	})
}

// A drain does not wait for a client that does not read.
func TestFix22DrainWaitsForNobodyWhoDoesNotRead(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, s *Server, _ *gateway, dial func() net.Conn) {
		c := h2test.NewClient(dial(), 0)
		defer c.Close()
		id, b := c.Call(publishStream), unread(t)
		for range 10 {
			c.Message(id, b, false)
		}
		c.Flush()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Error(err)
		}
	})
}

// A body that comes at less than 16 KiB a second ends after 10 s, with a reason; a steady one is taken.
func TestFix18BodiesHaveALeastRate(t *testing.T) {
	inSyncTest(t, nil, func(t *testing.T, s *Server, _ *gateway, _ func() net.Conn) {
		l := h2test.NewListener()
		h := &http.Server{Handler: s.Handler(nil), ReadTimeout: 10 * time.Minute}
		go h.Serve(l)
		for name, rate := range map[string]int{"slow": 100, "steady": 20 << 10} {
			c, err := l.Dial()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				fmt.Fprintf(c, "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", 1<<20)
				left := 1<<20 - len(`{"user":"u"}`)
				for ; left > 0; left -= rate {
					if _, err := c.Write(bytes.Repeat([]byte(" "), min(rate, left))); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
				c.Write([]byte(`{"user":"u"}`))
			}()
			began := time.Now()
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(name, err)
			}
			took := time.Since(began)
			if name == "slow" && (res.StatusCode != 503 || took > 15*time.Second) || name == "steady" && res.StatusCode != 200 {
				t.Errorf("%s: %s after %v", name, res.Status, took)
			}
			res.Body.Close()
			c.Close()
		}
		h.Close()
		time.Sleep(5 * time.Second) // net/http lingers
		synctest.Wait()
		if n := s.room.usedNow(); n != 0 {
			t.Errorf("%d bytes are held after the end", n)
		}
	})
}

// until waits for what is to come, for 20 s.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("not in time:", what)
		}
	}
}
