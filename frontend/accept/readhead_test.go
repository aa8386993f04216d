package accept

import (
	"io"
	"net"
	"testing"
	"time"
)

// A stream whose request net/http has read costs as little as one that was read here.
func TestPrefixConnIsUnwrappedOnceRead(t *testing.T) {
	r := &prefixConn{b: []byte("ab")}
	if Unwrap(r) != r {
		t.Error("bytes are left to be read")
	}
	var buf [8]byte
	if n, err := r.Read(buf[:]); n != 2 || err != nil || Unwrap(r) != nil {
		t.Errorf("%d %v", n, err)
	}
}

// A connection that came as a bare descriptor and then went to net/http is unwrapped too: else its stream would have a goroutine,
// and no half close.
func TestConnectionThatIsHandedOnTwiceIsUnwrapped(t *testing.T) {
	const request = "GET /healthz HTTP/1.1\r\n\r\n"
	a := New(Config{HeadTimeout: patience}, nil)
	mine, peer := net.Pipe()
	defer peer.Close()
	defer mine.Close()
	c := &prefixConn{Conn: mine, b: []byte(request)}
	a.register(c)
	go a.early(c)
	passed, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a.wg.Wait()
	b := make([]byte, len(request))
	if _, err := io.ReadFull(passed, b); err != nil || string(b) != request {
		t.Fatalf("%q %v", b, err)
	}
	if Unwrap(passed) != mine {
		t.Errorf("it is a %T", Unwrap(passed))
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

// TestFix22HeadHasItsTimeOnce: what was used of it here, net/http does not give again; once the head is there, all is as before.
func TestFix22HeadHasItsTimeOnce(t *testing.T) {
	a := New(Config{HeadTimeout: patience}, nil)
	mine, peer := net.Pipe()
	defer peer.Close()
	defer mine.Close()
	under := &deadlines{Conn: mine}
	c := &prefixConn{Conn: under, b: []byte("GET /healthz HTTP/1.1\r\n")}
	a.register(c)
	go a.early(c)
	passed, err := a.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a.wg.Wait()
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
