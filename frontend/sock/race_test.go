package sock

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestByteAtATimePeer(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		b := newBench(t, im, nil)
		r, peer := b.echo()
		want := []byte("every byte by itself, and each answered")
		for i := range want {
			if _, err := peer.Write(want[i : i+1]); err != nil {
				t.Fatal(err)
			}
			if got := readN(t, peer, 1); got[0] != want[i] {
				t.Fatalf("byte %d is %q", i, got)
			}
		}
		_ = peer.Close()
		_ = r.end()
		if !bytes.Equal(r.in, want) {
			t.Errorf("read %q", r.in)
		}
	})
}

func TestThousandsEcho(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		n := 2000
		if im.tls || testing.Short() {
			n = 100
		}
		b := newBench(t, im, nil)
		peers := make([]net.Conn, n)
		recorders := make([]*recorder, n)
		for i := range peers {
			recorders[i], peers[i] = b.echo()
		}
		if got := b.loop.Len(); got != n {
			t.Errorf("%d connections of %d", got, n)
		}
		for round := range 3 {
			for i, p := range peers {
				if _, err := fmt.Fprintf(p, "%d/%06d", round, i); err != nil {
					t.Fatal(err)
				}
			}
			for i, p := range peers {
				want := fmt.Sprintf("%d/%06d", round, i)
				if got := readN(t, p, len(want)); string(got) != want {
					t.Fatalf("%s got %q", want, got)
				}
			}
		}
		if err := b.loop.Check(); err != nil {
			t.Error(err)
		}
		for _, p := range peers {
			_ = p.Close()
		}
		for _, r := range recorders {
			if err := r.end(); err != nil {
				t.Errorf("Closed(%v), not nil", err)
			}
		}
	})
}

// TestEndsRace lets everything that can end a connection do so at once.
func TestEndsRace(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, func(c *Config) { small(c); c.Flush, c.Linger = 100*time.Millisecond, 100*time.Millisecond })
		rounds := 100
		if im.tls {
			rounds = 20
		}
		for range rounds {
			r := newRecorder(t)
			c, peer := b.connect(r)
			var wg sync.WaitGroup
			var buffered atomic.Int64
			for _, do := range []func(){
				func() {
					for {
						b := make([]byte, 20000)
						n, err := c.Write(b)
						buffered.Add(int64(min(n, len(b))))
						if err != nil {
							return
						}
					}
				},
				c.Close, c.Shutdown, c.Shutdown,
				func() { _ = peer.Close() },
				func() { _ = b.loop.Check() },
				func() { _, _ = io.CopyN(io.Discard, peer, 100000) },
			} {
				wg.Go(do)
			}
			wg.Wait()
			_ = r.end()
			if w := r.written.Load(); w > buffered.Load() {
				t.Fatalf("%d bytes were buffered, Written sums to %d", buffered.Load(), w)
			}
		}
	})
}

// TestNobodyWritesToAStranger has writers go on writing to connections that end, while their descriptors' numbers are given
// to new ones: what a peer reads is its own.
func TestNobodyWritesToAStranger(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, nil)
		rounds := 300
		if !im.idle || im.name == "outbox" { // 8 MiB are buffered for each before its writers end
			rounds = 30
		}
		var wg sync.WaitGroup
		for i := range rounds {
			r := newRecorder(t)
			c, peer := b.connect(r)
			mine := byte(i)
			for range 2 {
				wg.Go(func() {
					for {
						if _, err := c.Write([]byte{mine, mine, mine}); err != nil {
							return
						}
					}
				})
			}
			for _, got := range readN(t, peer, 30) {
				if got != mine {
					t.Fatalf("connection %d reads a byte of %d", mine, got)
				}
			}
			if i%2 == 0 {
				c.Close()
			} else {
				_ = tcp(peer).SetLinger(0)
				_ = tcp(peer).Close()
			}
		}
		wg.Wait()
	})
}

func TestIdleConnectionsHaveNoGoroutine(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		if !im.idle {
			t.Skip("this kind of connection has a goroutine")
		}
		b := newBench(t, im, small)
		c, peer := b.connect(newRecorder(t)) // whatever starts with the first is there
		before := runtime.NumGoroutine()
		for range 50 {
			b.connect(newRecorder(t))
		}
		if after := runtime.NumGoroutine(); after > before+5 { // of dial, about to end
			t.Errorf("50 more connections have %d more goroutines", after-before)
		}
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		readN(t, peer, 1000)
	})
}

func TestNoDescriptorIsLeft(t *testing.T) {
	count := func() int {
		d, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip("open descriptors cannot be counted here: ", err)
		}
		return len(d)
	}
	over(t, func(t *testing.T, im implementation) {
		before := count()
		t.Run("use", func(t *testing.T) {
			b := newBench(t, im, nil)
			for i := range 100 {
				r := newRecorder(t)
				c, peer := b.connect(r)
				switch i % 3 {
				case 0:
					c.Close()
				case 1:
					c.Shutdown()
				}
				_ = peer.Close()
				if im.name == "outbox" {
					c.Close()
				}
				_ = r.end()
			}
			b.connect(newRecorder(t)) // for Loop.Close
		})
		for end := time.Now().Add(30 * time.Second); count() > before; runtime.Gosched() { // a close may be under way still
			if time.Now().After(end) {
				t.Fatalf("%d descriptors before, %d after", before, count())
			}
		}
	})
}

func TestLoopCloseEndsAll(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		if im.name == "outbox" {
			t.Skip("an Outbox belongs to no loop")
		}
		b := newBench(t, im, small)
		var all []*recorder
		for i := range 20 {
			r := newRecorder(t)
			c, _ := b.connect(r)
			if i%2 == 0 {
				_, _ = c.Write(make([]byte, 1<<20))
			}
			if i%4 == 0 {
				c.Shutdown()
			}
			all = append(all, r)
		}
		if err := b.loop.Close(); err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if !r.ended.Load() {
				t.Fatal("Close returned before Closed")
			}
		}
	})
}

func TestFloodingPeerLeavesTheOthersTheirTurn(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		needsReads(t, im)
		b := newBench(t, im, func(c *Config) { c.Pollers = 1 })
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for range 3 {
			_, flood := b.connect(silent{})
			wg.Go(func() {
				for junk := make([]byte, 256<<10); ; {
					select {
					case <-stop:
						return
					default:
						if _, err := flood.Write(junk); err != nil {
							t.Error(err)
							return
						}
					}
				}
			})
		}
		_, peer := b.echo()
		for i := range 100 {
			if _, err := peer.Write([]byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
			readN(t, peer, 1)
		}
		close(stop)
		wg.Wait()
	})
}

// silent is a Handler that does nothing.
type silent struct{}

func (silent) Read([]byte)  {}
func (silent) Written(int)  {}
func (silent) Closed(error) {}
