package frontend

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"time"

	"ramen/protocol"
)

// readChunk reads one chunk, size line and all, and answers what is in it. The size has no more digits than it needs.
func readChunk(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("a chunk's size: %q, %v", line, err)
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(line, "\r\n"), 16, 31)
	if err != nil || fmt.Sprintf("%x\r\n", n) != line {
		t.Fatalf("a chunk's size is %q", line)
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil || string(b[n:]) != "\r\n" {
		t.Fatalf("a chunk of %d: %q, %v", n, b, err)
	}
	return string(b[:n])
}

// waysIn are the ways by which a request for a stream of events over HTTP/1 reaches its handler: package accept.
func waysIn(t *testing.T, b *bench, minor int) map[string]net.Conn {
	request := func(device string) string {
		return fmt.Sprintf("GET /ramen/receive?user=u&device=%s&heartbeat_ms=1000 HTTP/1.%d\r\nHost: localhost\r\n\r\n", device, minor)
	}
	ways := map[string]net.Conn{"whole": dialTCP(t, b), "pieces": dialTCP(t, b), "tls": nil}
	c, err := tls.Dial("tcp", b.secure, b.roots.Clone())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ways["tls"] = c
	for name, c := range ways {
		c.SetDeadline(time.Now().Add(20 * time.Second))
		b.g.publish("u", name, 2, `{"n":1}`)
		text := request(name)
		if name == "pieces" {
			io.WriteString(c, text[:9])
			text = text[9:]
		}
		io.WriteString(c, text)
	}
	return ways
}

// readHeader reads the head of an answer as it stands: http.ReadResponse takes framing out of it.
func readHeader(t *testing.T, r *bufio.Reader) textproto.MIMEHeader {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil || line != "HTTP/1.1 200 OK\r\n" {
		t.Fatalf("status line %q, %v", line, err)
	}
	h, err := textproto.NewReader(r).ReadMIMEHeader()
	if err != nil || h.Get("Connection") != "close" {
		t.Fatalf("head %v, %v", h, err)
	}
	return h
}

func TestFix05EachEventIsAChunkOverHTTP11(t *testing.T) {
	b := newBench(t, nil)
	readers := map[string]*bufio.Reader{}
	for name, c := range waysIn(t, b, 1) {
		r := bufio.NewReader(c)
		if h := readHeader(t, r); h.Get("Transfer-Encoding") != "chunked" || h["Content-Length"] != nil {
			t.Fatalf("%s: head %v", name, h)
		}
		if hello := readChunk(t, r); !strings.HasPrefix(hello, "retry: ") || strings.Index(hello, "\n\n") != len(hello)-2 {
			t.Fatalf("%s: hello is %q", name, hello)
		}
		for i := range 2 {
			if push := readChunk(t, r); !strings.HasPrefix(push, "id: ") || strings.Index(push, "\n\n") != len(push)-2 {
				t.Fatalf("%s: push %d is %q", name, i, push)
			}
		}
		if beat := readChunk(t, r); beat != "\n" {
			t.Fatalf("%s: heartbeat is %q", name, beat)
		}
		readers[name] = r
	}
	b.g.close(protocol.ReasonDisconnected, "")
	for name, r := range readers {
		got := readChunk(t, r)
		for got == "\n" {
			got = readChunk(t, r)
		}
		if !strings.HasPrefix(got, "event: goaway\n") {
			t.Fatalf("%s: goaway is %q", name, got)
		}
		if rest, err := io.ReadAll(r); string(rest) != "0\r\n\r\n" || err != nil {
			t.Errorf("%s: the stream ends with %q, %v", name, rest, err)
		}
	}
}

// What is visible of a heartbeat is a chunk too.
func TestFix05VisibleHeartbeatIsAChunk(t *testing.T) {
	b := newBench(t, nil)
	c := dialTCP(t, b)
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, "GET /ramen/receive?user=u&device=d&heartbeat_ms=1000&heartbeat=event HTTP/1.1\r\nHost: localhost\r\n\r\n")
	r := bufio.NewReader(c)
	readHeader(t, r)
	readChunk(t, r)
	if beat := readChunk(t, r); beat != protocol.SSEHeartbeatEvent {
		t.Fatalf("heartbeat is %q", beat)
	}
}

// HTTP/1.0 has no chunks (RFC 9112 6.1): the stream ends with the connection.
func TestFix05HTTP10EndsByClose(t *testing.T) {
	b := newBench(t, nil)
	all := map[string]*bufio.Reader{}
	for name, c := range waysIn(t, b, 0) {
		r := bufio.NewReader(c)
		if h := readHeader(t, r); h["Transfer-Encoding"] != nil || h["Content-Length"] != nil {
			t.Fatalf("%s: head %v", name, h)
		}
		var dec protocol.SSEDecoder
		for events := 0; events < 3; { // hello and two pushes
			line, err := r.ReadBytes('\n')
			if err == nil {
				err = dec.Feed(line, func(protocol.SSEEvent) error { events++; return nil })
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		if beat, err := r.ReadByte(); beat != '\n' || err != nil {
			t.Fatalf("%s: heartbeat is %q, %v", name, beat, err)
		}
		all[name] = r
	}
	b.g.close(protocol.ReasonDisconnected, "")
	for name, r := range all {
		if rest, err := io.ReadAll(r); err != nil || !strings.HasSuffix(strings.TrimLeft(string(rest), "\n"), "\n\n") {
			t.Errorf("%s: the stream ends with %q, %v", name, rest, err)
		}
	}
}

// The next request does not follow on a stream's connection: a client that keeps connections opens another.
func TestFix05ClientsOpenAnotherConnectionAfterAStream(t *testing.T) {
	b := newBench(t, nil)
	tr := new(http.Transport)
	defer tr.CloseIdleConnections()
	web := &http.Client{Transport: tr, Timeout: 20 * time.Second}
	for i := range 3 {
		resp, err := web.Get(b.url("/ramen/receive", asking("u", "d")))
		if err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
		b.until("it is open", func() bool { return b.g.streams == 1 })
		b.g.close(protocol.ReasonUnavailable, "")
		if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), "event: goaway") {
			t.Fatalf("stream %d: %q, %v", i, body, err)
		}
		resp.Body.Close()
	}
}
