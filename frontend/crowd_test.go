package frontend

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// Whatever connects, and however it goes, in the middle too: the server goes on, and no stream or descriptor is left.
func TestAcceptOutlivesTheCrowd(t *testing.T) {
	open := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("open descriptors cannot be counted here: ", err)
		}
		return len(d)
	}
	b := newBench(t, func(c *Config, _ *Deps) { c.ReadHeaderTimeout, c.MaxStreams = 500*time.Millisecond, 20 })
	b.get("/healthz", "") // by now its listener is taken from
	before := open()
	get := "GET /ramen/receive?user=u&device=%d HTTP/1.1\r\nHost: localhost\r\n"
	heads := []string{
		get + "\r\n", get + "X.y: z\r\n\r\n", get + "X: " + strings.Repeat("x", 5000) + "\r\n\r\n", get + "Ho", get + "Content-Length: 5\r\n\r\nabcde",
		strings.ReplaceAll(get+"\r\n", "\r", ""), strings.Replace(get+"\r\n", "1.1", "1.0", 1), get + "\r\n" + get + "\r\n",
		strings.Replace(plainHeads["ws"], "device-7", "w%d", 1), strings.Replace(plainHeads["ws"], "websocket", "other", 1),
		"GET /ramen/ws?user=u HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x00\r\n\r\n", "",
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := range 100 {
				c, err := net.Dial("tcp", b.plain)
				if err != nil {
					t.Error(err)
					return
				}
				io.WriteString(c, strings.ReplaceAll(heads[rnd.IntN(len(heads))], "%d", fmt.Sprint(n)))
				switch rnd.IntN(4) {
				case 0:
					c.(*net.TCPConn).SetLinger(0)
				case 1:
					c.(*net.TCPConn).CloseWrite()
				case 2:
					c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
					c.Read(make([]byte, 100))
				}
				c.Close()
			}
		})
	}
	all.Wait()
	for late := time.Now().Add(30 * time.Second); open() > before || b.s.Admission.Len() > 0; runtime.Gosched() {
		if time.Now().After(late) {
			t.Fatalf("%d descriptors, %d before; %d streams", open(), before, b.s.Admission.Len())
		}
	}
}
