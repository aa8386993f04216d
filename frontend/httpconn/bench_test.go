package httpconn

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// BenchmarkRequest is a small POST on a connection that stays, by net/http alone and through a conn.
func BenchmarkRequest(b *testing.B) {
	for name, serve := range map[string]func(*http.Server, net.Listener) error{
		"net/http": (*http.Server).Serve,
		"conn":     func(h *http.Server, l net.Listener) error { return Serve(h, l, nil) },
	} {
		b.Run(name, func(b *testing.B) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			h := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
			})}
			done := make(chan error, 1)
			go func() { done <- serve(h, l) }()
			defer func() { h.Close(); <-done }()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			request := []byte("POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300\r\n\r\n" + strings.Repeat("x", 300))
			r := bufio.NewReader(c)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(request); err != nil {
					b.Fatal(err)
				}
				resp, err := http.ReadResponse(r, nil)
				if err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
		})
	}
}
