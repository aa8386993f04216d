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
// same, for small writes and for large ones; the rest is kept, and is told to be gone once the socket has room.
func TestKernelIsLeftLittleThatIsUnsent(t *testing.T) {
	im := implementation{name: "epoll", reads: true, idle: true}
	for _, size := range []int{100, 1 << 10, 16 << 10, 200 << 10} {
		b := newBench(t, im, nil)
		r := newRecorder(t)
		c, peer := b.connect(r)
		var a account
		wrote := 0
		for a.kept == 0 && wrote < 64<<20 {
			if err := a.write(c, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			wrote += size
		}
		most := b.cfg.NotSentLowat/2 + maxPiece
		if n := unsent(t, c); n > most {
			t.Errorf("writes of %d bytes left %d unsent, more than %d", size, n, most)
		}
		if a.kept == 0 {
			t.Errorf("writes of %d bytes: %d were taken, and nothing was kept", size, wrote)
		}
		for range 20 { // behind what is kept, everything is
			if err := a.write(c, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			wrote += size
		}
		if n := unsent(t, c); n > most {
			t.Errorf("writes of %d bytes behind a full socket left %d unsent, more than %d", size, n, most)
		}
		readN(t, peer, wrote)
		r.wait("Written for all that was kept", func() bool { return r.written.Load() >= a.kept })
		if w := r.written.Load(); w != a.kept {
			t.Errorf("%d bytes were kept, Written sums to %d", a.kept, w)
		}
		if err := b.loop.Check(); err != nil {
			t.Error(err)
		}
	}
}

// A blocking writer over a Roomy listener is held up while its socket has no room, and goes on when there is.
func TestRoomyWriteWaitsForRoom(t *testing.T) {
	b := newBench(t, implementation{}, nil)
	b.l = Roomy(b.l, b.cfg)
	server, peer := b.dial()
	defer server.Close()
	defer peer.Close()
	if c, ok := server.(*roomyConn); !ok || c.NetConn() != c.Conn {
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
			raw, most := server.(*roomyConn).raw, 0
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

// A write that waits for room ends with its connection.
func TestRoomyWriteEndsWithTheConnection(t *testing.T) {
	b := newBench(t, implementation{}, nil)
	b.l = Roomy(b.l, b.cfg)
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
