package frontend

import (
	"bufio"
	"io"
	"net"
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

// A stream whose request net/http has read costs as little as one of the door's.
func TestReplayedConnectionIsBareAgain(t *testing.T) {
	r := &replayed{b: []byte("ab")}
	if bare(r) != r {
		t.Error("bytes are left to be read")
	}
	var buf [8]byte
	if n, err := r.Read(buf[:]); n != 2 || err != nil || bare(r) != nil {
		t.Errorf("%d %v", n, err)
	}
}

func TestConnectionsWithoutARequestAreClosedWithTheServer(t *testing.T) {
	b := newBench(t, nil)
	c := dialTCP(t, b)
	io.WriteString(c, "GET /ramen/rec")
	if resp, _ := b.get("/healthz", ""); resp.StatusCode != 200 { // by now the door has it
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

// A connection that came as a bare descriptor and then went to net/http is bare again too: else its stream would have a goroutine,
// and no half close.
func TestConnectionThatIsPassedOnTwiceIsBareAgain(t *testing.T) {
	const request = "GET /healthz HTTP/1.1\r\n\r\n"
	d := newDoor(&Server{cfg: Default()}, nil)
	mine, peer := net.Pipe()
	defer peer.Close()
	defer mine.Close()
	c := &replayed{Conn: mine, b: []byte(request)}
	d.enter(c)
	go d.first(c)
	passed, err := d.Accept()
	if err != nil {
		t.Fatal(err)
	}
	d.wg.Wait()
	b := make([]byte, len(request))
	if _, err := io.ReadFull(passed, b); err != nil || string(b) != request {
		t.Fatalf("%q %v", b, err)
	}
	if bare(passed) != mine {
		t.Errorf("it is a %T", bare(passed))
	}
}

// deadlines is a connection that notes the deadlines of its reads.
type deadlines struct {
	net.Conn
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error {
	d.set = append(d.set, t)
	return nil
}

// TestFix22HeadHasItsTimeOnce: what the door has used of it, net/http does not give again; once the head is there, all is as before.
func TestFix22HeadHasItsTimeOnce(t *testing.T) {
	d := newDoor(&Server{cfg: Default()}, nil)
	mine, peer := net.Pipe()
	defer peer.Close()
	defer mine.Close()
	under := &deadlines{Conn: mine}
	c := &replayed{Conn: under, b: []byte("GET /healthz HTTP/1.1\r\n")}
	d.enter(c)
	go d.first(c)
	passed, err := d.Accept()
	if err != nil {
		t.Fatal(err)
	}
	d.wg.Wait()
	by := under.set[0]
	later := by.Add(time.Minute)
	for _, c := range []struct{ set, want time.Time }{
		{later, by}, // a head's time from now on
		{by.Add(-time.Second), by.Add(-time.Second)}, // sooner is sooner
		{time.Time{}, time.Time{}},                   // the head is there
		{later, later},                               // that of the next
	} {
		if passed.SetReadDeadline(c.set); !under.set[len(under.set)-1].Equal(c.want) {
			t.Errorf("deadline %v became %v, not %v", c.set, under.set[len(under.set)-1], c.want)
		}
	}
}
