package frontend

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

func somePush(seq protocol.Seq) protocol.Push {
	return protocol.Push{Seq: seq, Cursor: "k3.7.3.4.0.x2ABCDEFGHabcdefgh", Message: &protocol.Message{
		ID: "0198f3c2-7d5c-7e2b-8f0e-0123456789ab", Type: "trip.offer", Priority: protocol.PriorityHigh, ContentType: protocol.ContentTypeJSON,
		Payload: append(append([]byte(`"`), make256()...), '"'), CreatedMS: time.Now().UnixMilli(), ExpiresMS: time.Now().UnixMilli() + 60_000,
	}}
}

func make256() []byte {
	b := make([]byte, 254)
	for i := range b {
		b[i] = 'x'
	}
	return b
}

// BenchmarkPush is a push of 256 bytes from the gateway's call to the kernel, and its ack, over loopback.
func BenchmarkPush(b *testing.B) {
	for _, d := range dialers {
		b.Run(d.name, func(b *testing.B) {
			r := &keeper{}
			x := newBench(b, func(_ *Config, d *Deps) { d.Router = r })
			c := d.dial(x, asking("u", "d"))
			go func() {
				for {
					if _, err := c.next(); err != nil {
						return
					}
				}
			}()
			for r.to.Load() == nil {
				runtime.Gosched()
			}
			to := *r.to.Load()
			p := somePush(0)
			batch := []protocol.Push{p}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				for r.credit.Load() <= 0 {
					runtime.Gosched()
				}
				r.credit.Add(-int64(p.Cost()))
				batch[0].Seq = protocol.Seq(i + 1)
				to.Push(0, batch, false)
				to.Acked(0, batch[0].Seq)
			}
			b.StopTimer()
			c.close()
		})
	}
}

// keeper keeps the receiver of the last open.
type keeper struct {
	gateway
	to     atomic.Pointer[link.Receiver]
	credit atomic.Int64
}

// creditLink counts the credit that it is given.
type creditLink struct {
	idleLink
	k *keeper
}

func (l creditLink) Credit(n int) { l.k.credit.Add(int64(n)) }

func (k *keeper) Open(_ context.Context, _ time.Duration, _ link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	k.to.Store(&r)
	return creditLink{k: k}, link.Opened{Name: "s"}, nil
}

// BenchmarkConnect is an open over SSE, hello included, client and all.
func BenchmarkConnect(b *testing.B) {
	x := newBench(b, func(_ *Config, d *Deps) { d.Router = &keeper{} })
	request := []byte("GET /ramen/receive?user=u&device=d&app=rider HTTP/1.1\r\nHost: localhost\r\n\r\n")
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for range b.N {
		c, err := net.Dial("tcp", x.plain)
		if err != nil {
			b.Fatal(err)
		}
		c.Write(request)
		if n, err := c.Read(buf); err != nil || n < 100 {
			b.Fatal(n, err)
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// An idle stream has to stay near 1 KB here, sockets included; the user's and device's state is the gateway's.
func TestIdleStreamIsCheap(t *testing.T) {
	const streams = 1000
	for _, c := range []struct{ name, head string }{
		{"sse", "GET /ramen/receive?user=user-%d&device=device-%[1]d&app=rider&token=%[2]s HTTP/1.1\r\nHost: localhost\r\n\r\n"},
		{"ws", "GET /ramen/ws?user=user-%d&device=device-%[1]d&app=rider&token=%[2]s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"},
	} {
		b := newBench(t, func(_ *Config, d *Deps) { d.Router = &keeper{} })
		token := string(make256())
		open := func(i int) int {
			fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			at := netip.MustParseAddrPort(b.plain)
			if err := syscall.Connect(fd, &syscall.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
				t.Fatal(err)
			}
			io.WriteString(fdWriter(fd), fmt.Sprintf(c.head, i, token))
			var buf [1024]byte
			if n, err := syscall.Read(fd, buf[:]); n < 20 || err != nil {
				t.Fatal(n, err)
			}
			return fd
		}
		fds := []int{open(0)}
		before := heap()
		for i := range streams {
			fds = append(fds, open(i+1))
		}
		each := (heap() - before) / streams
		t.Logf("%s: %d bytes of heap a stream", c.name, each)
		if each > 1536 {
			t.Errorf("%s: an idle stream takes %d bytes of heap", c.name, each)
		}
		for _, fd := range fds {
			syscall.Close(fd)
		}
	}
}

type fdWriter int

func (f fdWriter) Write(b []byte) (int, error) { return syscall.Write(int(f), b) }

func heap() int {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// idleLink is a gateway's end that does nothing.
type idleLink struct{}

func (idleLink) Credit(int)                      {}
func (idleLink) Ack(protocol.Seq, string)        {}
func (idleLink) Refresh(*protocol.DeviceContext) {}
func (idleLink) Measured(uint32)                 {}
func (idleLink) Close(protocol.Reason)           {}
