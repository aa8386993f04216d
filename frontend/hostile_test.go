package frontend

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"ramen/protocol"
)

func TestSlowReaderHoldsUpItselfAlone(t *testing.T) {
	over(t, false, func(t *testing.T, dial func(b *bench, v url.Values) device) {
		b := newBench(t, func(c *Config, _ *Deps) {
			c.TooSlow = time.Second
			c.Sock.SendBuffer = 8 << 10
		})
		b.readBuffer = 8 << 10
		slow := dial(b, asking("u", "slow", "heartbeat_ms", "60000"))
		want(t, slow, protocol.ServerHello)
		b.readBuffer = 0
		quick := dial(b, asking("u", "quick", "heartbeat_ms", "60000"))
		want(t, quick, protocol.ServerHello)
		payload := `"` + strings.Repeat("x", 60_000) + `"`
		b.g.publish("u", "slow", 250, payload) // 15 MiB that nobody reads
		for i := range protocol.Seq(20) {
			b.g.publish("u", "quick", 1, payload)
			wantPushes(t, quick, i, 1)
			quick.say(ackSeq(i + 1))
		}
		b.until("the slow one is cut off", func() bool { return b.g.queueLocked("u", "slow").stream == nil })
		b.g.mu.Lock()
		defer b.g.mu.Unlock()
		if b.g.queueLocked("u", "quick").stream == nil {
			t.Fatal("the quick one was cut off")
		}
	})
}

func TestResetIsNoticed(t *testing.T) {
	b := newBench(t, nil)
	c := dialTCP(t, b)
	dialRaw(t, c, "GET /ramen/receive?user=u&device=d HTTP/1.1\r\nHost: localhost\r\n\r\n")
	w := dialSocket(b, asking("u", "e"), "ramen.v1.json")
	want(t, w, protocol.ServerHello)
	b.until("both are open", func() bool { return b.g.streams == 2 })
	c.SetLinger(0)
	c.Close()
	w.c.NetConn().(*net.TCPConn).SetLinger(0)
	w.c.NetConn().Close()
	b.until("both are gone", func() bool { return b.g.streams == 0 })
}

func TestBytesBehindAnEventRequestAreBounded(t *testing.T) {
	b := newBench(t, nil)
	head := "GET /ramen/receive?user=u&device=d HTTP/1.1\r\nHost: localhost\r\n\r\n"
	c := dialTCP(t, b)
	dialRaw(t, c, head+strings.Repeat(head, 20)) // pipelined: dropped
	b.g.publish("u", "d", 1, `1`)
	b.until("the stream is open, once", func() bool { return b.g.streams == 1 && len(b.g.opens) == 1 })
	go io.Copy(io.Discard, c)
	for range 1000 {
		if _, err := c.Write(make([]byte, 1024)); err != nil {
			break
		}
	}
	b.until("it was ended", func() bool { return b.g.streams == 0 })
}

func TestFramesThatBreakTheContract(t *testing.T) {
	b := newBench(t, nil)
	for _, c := range []struct {
		name        string
		subprotocol string
		kind        int
		payload     string
		code        int
	}{
		{"no JSON", "ramen.v1.json", websocket.TextMessage, `{"ack":`, 1008},
		{"no object", "ramen.v1.json", websocket.TextMessage, `[1]`, 1008},
		{"seq is text", "ramen.v1.json", websocket.TextMessage, `{"ack":{"seq":"1"}}`, 1008},
		{"seq is negative", "ramen.v1.json", websocket.TextMessage, `{"ack":{"seq":-1}}`, 1008},
		{"seq is over uint64", "ramen.v1.json", websocket.TextMessage, `{"ack":{"seq":99999999999999999999}}`, 1008},
		{"binary on json", "ramen.v1.json", websocket.BinaryMessage, `{"ack":{"seq":1}}`, 1008},
		{"text on proto", "ramen.v1.proto", websocket.TextMessage, `{"ack":{"seq":1}}`, 1008},
		{"no protobuf", "ramen.v1.proto", websocket.BinaryMessage, "\xff\xff", 1008},
		{"too large", "ramen.v1.json", websocket.TextMessage, strings.Repeat(" ", 64<<10+1), 1009},
		{"text that is no UTF-8", "ramen.v1.json", websocket.TextMessage, "\xff\xfe", 1007},
	} {
		s := dialSocket(b, asking("u", "d-"+strings.ReplaceAll(c.name, " ", "-")), c.subprotocol)
		want(t, s, protocol.ServerHello)
		s.c.WriteMessage(c.kind, []byte(c.payload))
		f, err := within(t, s)
		if ce, ok := err.(*closeError); !ok || ce.code != c.code {
			t.Errorf("%s: answered %+v, %v; not %d", c.name, f, err, c.code)
		}
	}
	for _, c := range []struct{ name, payload string }{
		{"text that is no cursor", `{"ack":{"cursor":"a b"}}`},
		{"ack beyond", `{"ack":{"seq":9}}`},
	} {
		s := dialSocket(b, asking("u", "e-"+strings.ReplaceAll(c.name, " ", "-")), "ramen.v1.json")
		want(t, s, protocol.ServerHello)
		s.c.WriteMessage(websocket.TextMessage, []byte(c.payload))
		wantEnd(t, s, protocol.ReasonInvalidArgument)
	}
	s := dialSocket(b, asking("u", "ignored"), "ramen.v1.json")
	want(t, s, protocol.ServerHello)
	for _, p := range []string{`{}`, `{"wave":{"at":1}}`, `{"ack":{"seq":0,"more":[1]}}`} {
		s.c.WriteMessage(websocket.TextMessage, []byte(p))
	}
	s.c.WriteMessage(websocket.BinaryMessage, nil) // an echo of the other kind
	b.g.publish("u", "ignored", 1, `1`)
	wantPushes(t, s, 0, 1)
}

// rawSocket is a WebSocket whose frames are written by hand.
func rawSocket(t *testing.T, b *bench, device string) net.Conn {
	t.Helper()
	c := dialTCP(t, b)
	resp, r := dialRaw(t, c, "GET /ramen/ws?user=u&device="+device+" HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")
	if resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	hello, err := r.Peek(4)
	if err != nil || hello[0] != 0x81 {
		t.Fatalf("%x %v", hello, err)
	}
	r.Discard(r.Buffered())
	return c
}

// closedWith reads until a close frame.
func closedWith(t *testing.T, c net.Conn) int {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	all, _ := io.ReadAll(c)
	at := bytes.IndexByte(all, 0x88)
	if at < 0 || len(all) < at+4 {
		return 0
	}
	return int(binary.BigEndian.Uint16(all[at+2:]))
}

func TestClaimedLengthsCostNothing(t *testing.T) {
	b := newBench(t, nil)
	c := rawSocket(t, b, "d")
	frame := binary.BigEndian.AppendUint64([]byte{0x81, 0x80 | 127}, 1<<30)
	c.Write(append(frame, 1, 2, 3, 4))
	if code := closedWith(t, c); code != 1009 {
		t.Errorf("closed with %d", code)
	}
	c = rawSocket(t, b, "e")
	c.Write([]byte{0x81, 0x01, 'x'}) // not masked
	if code := closedWith(t, c); code != 1002 {
		t.Errorf("closed with %d", code)
	}
}

func TestHalfFramesOccupyOneConnectionAlone(t *testing.T) {
	b := newBench(t, nil)
	for i := range 50 {
		c := rawSocket(t, b, fmt.Sprint("half-", i))
		c.Write([]byte{0x81, 0x80 | 126, 0x40, 0, 1, 2, 3, 4, 'x'}) // 16 KiB are to come
	}
	d := dialJSON(b, asking("u", "d"))
	want(t, d, protocol.ServerHello)
	b.g.publish("u", "d", 1, `1`)
	wantPushes(t, d, 0, 1)
}

func TestFramesInPiecesAndTogether(t *testing.T) {
	b := newBench(t, nil)
	c := rawSocket(t, b, "d")
	b.g.publish("u", "d", 9, `1`)
	var all []byte
	for seq := range 9 {
		all = append(all, masked(0x81, fmt.Sprintf(`{"ack":{"seq":%d}}`, seq+1))...)
	}
	cut := len(all) / 2
	for i := range cut { // byte by byte, then all at once
		c.Write(all[i : i+1])
	}
	c.Write(all[cut:])
	b.until("all is acked", func() bool { return b.g.queueLocked("u", "d").acked == 9 })
}

func masked(first byte, payload string) []byte {
	b := []byte{first, 0x80 | byte(len(payload)), 1, 2, 3, 4}
	for i := range len(payload) {
		b = append(b, payload[i]^byte(i%4+1))
	}
	return b
}

func TestPingsAreAnswered(t *testing.T) {
	b := newBench(t, nil)
	s := dialSocket(b, asking("u", "d"), "ramen.v1.json")
	want(t, s, protocol.ServerHello)
	ponged := errors.New("there?")
	s.c.SetPongHandler(func(p string) error { return errors.New(p) })
	s.c.WriteControl(websocket.PingMessage, []byte(ponged.Error()), time.Now().Add(time.Second))
	for {
		if _, err := within(t, s); err != nil {
			if err.Error() != ponged.Error() {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestClosingHandshakeIsAnswered(t *testing.T) {
	b := newBench(t, nil)
	for _, code := range []int{1000, 1001, 4000} {
		s := dialSocket(b, asking("u", fmt.Sprint("d", code)), "ramen.v1.json")
		want(t, s, protocol.ServerHello)
		s.c.SetCloseHandler(func(int, string) error { return nil })
		s.c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "bye"), time.Now().Add(time.Second))
		_, err := within(t, s)
		if ce, ok := err.(*closeError); !ok || ce.code != code {
			t.Errorf("%d was answered with %v", code, err)
		}
	}
	b.until("all are gone", func() bool { return b.g.streams == 0 })
}

func TestRequestThatNeverComesIsDropped(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.ReadHeaderTimeout = 100 * time.Millisecond })
	c := dialTCP(t, b)
	io.WriteString(c, "GET /ramen/rec")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.ReadAll(c); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("it stayed open: %v", err)
	}
	c = dialTCP(t, b)
	io.WriteString(c, "GET /ramen/receive?"+strings.Repeat("a", 64<<10)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if answer, _ := io.ReadAll(c); !strings.Contains(string(answer), "431") {
		t.Fatalf("answered %q", answer)
	}
}

func TestGRPCFrameOverTheLimitEndsTheStream(t *testing.T) {
	b := newBench(t, nil)
	g := dialGRPC(b, asking("u", "d")).(*rpc)
	want(t, g, protocol.ServerHello)
	g.stream.SendMsg(rawFrame(make([]byte, 80<<10)))
	for {
		if _, err := within(t, g); err != nil {
			t.Logf("ended with %v", err)
			break
		}
	}
	b.until("it is gone", func() bool { return b.g.streams == 0 })
}
