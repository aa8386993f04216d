package sock

import (
	"testing"

	"golang.org/x/sys/unix"
)

// unsent is how many bytes the kernel holds that it has not sent. SIOCOUTQNSD, tcp(7)
func unsent(t *testing.T, c Conn) int {
	t.Helper()
	e := c.(*epollConn)
	e.mu.Lock()
	defer e.mu.Unlock()
	n, err := unix.IoctlGetInt(int(e.fd), unix.SIOCOUTQNSD)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The kernel takes far more than NotSentLowat into a segment that it has begun. What a Write leaves with it is bounded all the
// same, for small writes and for large ones; the rest is buffered, and reported by Written once the socket is writable.
func TestKernelIsLeftLittleThatIsUnsent(t *testing.T) {
	im := implementation{name: "epoll", reads: true, idle: true}
	for _, size := range []int{100, 1 << 10, 16 << 10, 200 << 10} {
		b := newBench(t, im, nil)
		r := newRecorder(t)
		c, peer := b.connect(r)
		var a account
		wrote := 0
		for a.buffered == 0 && wrote < 64<<20 {
			if err := a.write(c, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			wrote += size
		}
		most := b.cfg.NotSentLowat/2 + maxPiece
		if n := unsent(t, c); n > most {
			t.Errorf("writes of %d bytes left %d unsent, more than %d", size, n, most)
		}
		if a.buffered == 0 {
			t.Errorf("writes of %d bytes: %d were taken, and nothing was buffered", size, wrote)
		}
		for range 20 { // behind what is buffered, everything is
			if err := a.write(c, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			wrote += size
		}
		if n := unsent(t, c); n > most {
			t.Errorf("writes of %d bytes behind a full socket left %d unsent, more than %d", size, n, most)
		}
		readN(t, peer, wrote)
		r.wait("Written for all that was buffered", func() bool { return r.written.Load() >= a.buffered })
		if w := r.written.Load(); w != a.buffered {
			t.Errorf("%d bytes were buffered, Written sums to %d", a.buffered, w)
		}
		if err := b.loop.Check(); err != nil {
			t.Error(err)
		}
	}
}

// A blocking writer over BoundUnsent waits while its socket is not writable, and goes on when it is.
func TestBoundUnsentWriteWaits(t *testing.T) {
	b := newBench(t, implementation{}, nil)
	b.l = BoundUnsent(b.l, b.cfg)
	server, peer := b.dial()
	defer server.Close()
	defer peer.Close()
	if c, ok := server.(*lowatConn); !ok || c.NetConn() != c.Conn {
		t.Fatalf("a connection is a %T", server)
	}
	const all = 32 << 20
	done := make(chan error, 1)
	go func() {
		piece := make([]byte, 8<<10)
		for range all / len(piece) {
			if _, err := server.Write(piece); err != nil {
				done <- err
				return
			}
			raw, most := server.(*lowatConn).raw, 0
			_ = raw.Control(func(fd uintptr) { most, _ = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) })
			if most >= b.cfg.NotSentLowat {
				t.Errorf("a write returned with %d bytes unsent", most)
			}
		}
		done <- nil
	}()
	readN(t, peer, all)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A write that waits for its socket ends with its connection.
func TestBoundUnsentWriteEndsWithTheConnection(t *testing.T) {
	b := newBench(t, implementation{}, nil)
	b.l = BoundUnsent(b.l, b.cfg)
	server, peer := b.dial()
	defer peer.Close()
	done := make(chan error, 1)
	full := make(chan struct{})
	go func() {
		piece := make([]byte, 64<<10)
		for i := 0; ; i++ {
			if i == 1 {
				close(full)
			}
			if _, err := server.Write(piece); err != nil {
				done <- err
				return
			}
		}
	}()
	<-full
	_ = server.Close()
	if err := <-done; err == nil {
		t.Error("no error")
	}
}
