package frontend

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"ramen/protocol"
)

// However a request for a stream comes, it is served the same: at once, in pieces, with a long head, behind another request.
func TestRequestsInAnyShapeAreServed(t *testing.T) {
	b := newBench(t, nil)
	request := func(device, more string) string {
		return "GET /ramen/receive?user=u&device=" + device + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n"
	}
	for _, c := range []struct {
		name string
		send []string
	}{
		{"one", []string{request("one", "")}},
		{"pieces", strings.SplitAfter(request("pieces", "X-A: b\r\n"), "\r")},
		{"bytes", strings.Split(request("bytes", ""), "")},
		{"long", []string{request("long", "X-Long: "+strings.Repeat("x", 9000)+"\r\n")}},
		{"lf", []string{strings.ReplaceAll(request("lf", ""), "\r", "")}},
		{"behind", []string{"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", request("behind", "")}},
	} {
		conn := dialTCP(t, b)
		conn.SetNoDelay(true)
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		r := bufio.NewReader(conn)
		for i, piece := range c.send {
			io.WriteString(conn, piece)
			if c.name == "behind" && i == 0 {
				resp, err := http.ReadResponse(r, nil)
				if err != nil || resp.StatusCode != 200 {
					t.Fatalf("%s: %v", c.name, err)
				}
				io.Copy(io.Discard, resp.Body)
			}
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v %v", c.name, resp, err)
			continue
		}
		e := &events{tb: t, b: b, v: asking("u", c.name), body: resp.Body, end: func() { conn.Close() }}
		want(t, e, protocol.ServerHello)
		b.g.publish("u", c.name, 1, `1`)
		wantPushes(t, e, 0, 1)
	}
}

func TestConnectionsWithoutARequestAreClosedWithTheServer(t *testing.T) {
	b := newBench(t, nil)
	c := dialTCP(t, b)
	io.WriteString(c, "GET /ramen/rec")
	if resp, _ := b.get("/healthz", ""); resp.StatusCode != 200 { // by now the acceptor has it
		t.Fatal(resp.Status)
	}
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Fatalf("it is still open: %v", err)
	}
}
