package httpconn

import (
	"bytes"
	"crypto/tls"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestFix16ResetsOverHTTP2EndTheConnection: whoever opens and resets requests loses the connection after a few hundred; whoever lets
// them live, or resets few, keeps it.
func TestFix16ResetsOverHTTP2EndTheConnection(t *testing.T) {
	var served atomic.Int64
	h := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		served.Add(1)
		select {
		case <-r.Context().Done():
		case <-time.After(patience):
		}
	})}
	dial := serve(t, h, true)
	raw := dial().(*tls.Conn).NetConn() // whose handshake has not begun
	defer raw.Close()
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(c, c)
	if err := f.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	go func() { // takes in what the server says, until it ends the connection
		for {
			if _, err := f.ReadFrame(); err != nil {
				return
			}
		}
	}()
	var head bytes.Buffer
	e := hpack.NewEncoder(&head)
	for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/"}} {
		if err := e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}); err != nil {
			t.Fatal(err)
		}
	}
	const most = 1_000_000
	for id := uint32(1); id < 2*most; id += 2 {
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: true}); err != nil {
			t.Logf("the connection ended after %d requests, %d of them served", id/2, served.Load())
			return
		}
		if err := f.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
			return
		}
		head.Reset() // what is in the encoder's table is sent by its index
		for _, field := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"}, {":path", "/"}} {
			_ = e.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
	}
	t.Errorf("%d requests were opened and reset on one connection", most)
}
