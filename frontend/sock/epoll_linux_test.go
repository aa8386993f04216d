package sock

import (
	"context"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// option reads an option of a connection.
func option(t *testing.T, c net.Conn, level, name int) int {
	t.Helper()
	rc, err := c.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var v int
	if cerr := rc.Control(func(fd uintptr) { v, err = unix.GetsockoptInt(int(fd), level, name) }); cerr != nil || err != nil {
		t.Fatal(cerr, err)
	}
	return v
}

func TestAcceptedConnectionsInheritTheOptions(t *testing.T) {
	cfg := Default()
	cfg.SendBuffer, cfg.NotSentLowat = 32<<10, 16<<10
	own, err := Listen(context.Background(), "127.0.0.1:0", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, l := range []net.Listener{own, other} {
		peer, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if l == other { // Add mends that
			if err := prepareAny(c, cfg); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range []struct {
			name               string
			level, option, val int
		}{
			{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
			{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 20000},
			{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, 16 << 10},
			{"SO_SNDBUF, doubled", unix.SOL_SOCKET, unix.SO_SNDBUF, 64 << 10},
			{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
			{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
		} {
			if got := option(t, c, o.level, o.option); got != o.val {
				t.Errorf("%s is %d, not %d", o.name, got, o.val)
			}
		}
		_ = c.Close()
		_ = peer.Close()
	}
}

// TestEventsOfAnEarlierConnectionFindNoOther: a place in the poller that is used again has another generation.
func TestEventsOfAnEarlierConnectionFindNoOther(t *testing.T) {
	b := newBench(t, implementation{name: "epoll"}, func(c *Config) { c.Pollers = 1 })
	r := newRecorder(t)
	c, _ := b.connect(r)
	first := c.(*epollConn)
	c.Close()
	_ = r.end()
	for b.loop.Len() > 0 { // the place is free after Closed has returned
		runtime.Gosched()
	}
	c, _ = b.connect(newRecorder(t))
	if second := c.(*epollConn); second.slot != first.slot || second.gen == first.gen {
		t.Errorf("place %d, generation %d, and then place %d, generation %d", first.slot, first.gen, second.slot, second.gen)
	}
}

func TestDirectWriteDoesNotAllocate(t *testing.T) {
	b := newBench(t, implementation{name: "epoll"}, nil)
	c, _ := b.connect(silent{})
	beat := []byte("\n")
	if n := testing.AllocsPerRun(100, func() {
		if buffered, err := c.Write(beat); buffered != 0 || err != nil {
			t.Fatal(buffered, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a heartbeat", n)
	}
}

// cpu is the CPU time of the process.
func cpu() time.Duration {
	var u unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHeartbeat writes to connections in turn; the peers are not read, so that their share is the kernel's alone.
func BenchmarkHeartbeat(b *testing.B) {
	be := newBench(b, implementation{name: "epoll"}, nil)
	conns := make([]Conn, 1000)
	for i := range conns {
		conns[i], _ = be.connect(silent{})
	}
	beat := []byte("\n")
	b.ReportAllocs()
	start, i := cpu(), 0
	for b.Loop() {
		if buffered, err := conns[i%len(conns)].Write(beat); buffered != 0 || err != nil {
			b.Fatal(buffered, err)
		}
		i++
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
}

// echo answers what it reads.
type echo struct{ c chan Conn }

func (e echo) Read(in []byte) {
	c := <-e.c
	_, _ = c.Write(in)
	e.c <- c
}
func (echo) Written(int)  {}
func (echo) Closed(error) {}

// BenchmarkEcho is a round trip of a byte; the peer is a goroutine of this process.
func BenchmarkEcho(b *testing.B) {
	for _, im := range implementations {
		if !im.reads {
			continue
		}
		b.Run(im.name, func(b *testing.B) {
			be := newBench(b, im, nil)
			h := echo{make(chan Conn, 1)}
			c, peer := be.connect(h)
			h.c <- c
			buf := []byte("x")
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				_, _ = peer.Write(buf)
				_, _ = peer.Read(buf)
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N), "cpu-ns/op")
		})
	}
}

// BenchmarkAdd takes connections over.
func BenchmarkAdd(b *testing.B) {
	be := newBench(b, implementation{name: "epoll"}, nil)
	var ready []net.Conn
	var peers []net.Conn
	var conns []Conn
	b.ReportAllocs()
	var spent time.Duration
	for b.Loop() {
		if len(ready) == 0 {
			b.StopTimer()
			for i := range conns {
				conns[i].Close()
				_ = peers[i].Close()
			}
			conns, peers = conns[:0], peers[:0]
			for range 500 {
				server, peer := be.dial()
				ready, peers = append(ready, server), append(peers, peer)
			}
			b.StartTimer()
		}
		start := cpu()
		c, err := be.loop.Add(ready[0], silent{})
		spent += cpu() - start
		if err != nil {
			b.Fatal(err)
		}
		ready, conns = ready[1:], append(conns, c)
	}
	b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	for i := range peers {
		_ = peers[i].Close()
	}
	for _, c := range ready {
		_ = c.Close()
	}
}

// BenchmarkIdleMemory reports what idle connections take of the process; the peers are bare descriptors in it.
func BenchmarkIdleMemory(b *testing.B) {
	for b.Loop() {
		be := newBench(b, implementation{name: "epoll"}, nil)
		conns := make([]Conn, 0, 7000)
		peers := make([]int, 0, cap(conns))
		addr := be.l.Addr().(*net.TCPAddr)
		heap, rss := memory(b)
		for range cap(conns) {
			peers = append(peers, dialRaw(b, addr.Port))
			s, err := be.l.Accept()
			if err != nil {
				b.Fatal(err)
			}
			c, err := be.loop.Add(s, silent{})
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, c)
		}
		heap2, rss2 := memory(b)
		b.ReportMetric(float64(heap2-heap)/float64(len(conns)), "heap-B/conn")
		b.ReportMetric(float64(rss2-rss)/float64(len(conns)), "rss-B/conn")
		runtime.KeepAlive(conns)
		for _, fd := range peers {
			_ = unix.Close(fd)
		}
	}
}

// dialRaw connects without the runtime's knowledge, so that the peer costs no memory of the process.
func dialRaw(tb testing.TB, port int) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	}
	if err != nil {
		tb.Fatal(err)
	}
	return fd
}

// memory is the live heap and the resident set, in bytes.
func memory(tb testing.TB) (heap, rss int64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		tb.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		tb.Fatal(err)
	}
	return int64(m.HeapAlloc), int64(pages * os.Getpagesize())
}
