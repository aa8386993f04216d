package sock

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"
)

// small makes the kernel hold little, so that much is buffered.
func small(c *Config) { c.SendBuffer = 4096 }

// noise is n bytes of which each place is recognizable.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestWritesArriveInOrderAtSlowReader(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		rnd := seeded(t)
		b := newBench(t, im, small)
		r := newRecorder(t)
		c, peer := b.connect(r)
		all := noise(rnd, 2<<20)
		var a account
		for rest := all; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(1<<rnd.IntN(17)))
			if err := a.write(c, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := b.loop.Check(); err != nil {
			t.Error(err)
		}
		got := make([]byte, 0, len(all))
		for len(got) < len(all) {
			got = append(got, readN(t, peer, min(len(all)-len(got), 1+rnd.IntN(30000)))...)
		}
		if !bytes.Equal(got, all) {
			t.Fatal("what arrived is not what was written")
		}
		r.wait("Written for all that was buffered", func() bool { return r.written.Load() >= a.buffered })
		if w := r.written.Load(); w != a.buffered {
			t.Errorf("%d bytes were buffered, Written sums to %d", a.buffered, w)
		}
		if a.buffered == 0 {
			t.Error("nothing was buffered: the test proves nothing")
		}
		if d := c.Stalled(); d != 0 {
			t.Errorf("nothing is buffered, and it is stalled for %v", d)
		}
		if err := b.loop.Check(); err != nil {
			t.Error(err)
		}
	})
}

func TestWritesBetweenReadsKeepTheOrder(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		rnd := seeded(t)
		b := newBench(t, im, small)
		r := newRecorder(t)
		c, peer := b.connect(r)
		all := noise(rnd, 1<<20)
		var a account
		done := make(chan []byte)
		go func() { // reads while writes go on: direct writes and buffered bytes alternate
			got := make([]byte, len(all))
			_, _ = io.ReadFull(peer, got)
			done <- got
		}()
		for rest := all; len(rest) > 0; {
			n := min(len(rest), 1+rnd.IntN(4000))
			if err := a.write(c, rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if got := <-done; !bytes.Equal(got, all) {
			t.Fatal("what arrived is not what was written")
		}
		r.wait("Written for all that was buffered", func() bool { return r.written.Load() >= a.buffered })
		if w := r.written.Load(); w != a.buffered {
			t.Errorf("%d bytes were buffered, Written sums to %d", a.buffered, w)
		}
	})
}

func TestFullEndsTheConnection(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, func(c *Config) { small(c); c.MaxKept = 64 << 10 })
		r := newRecorder(t)
		c, _ := b.connect(r)
		var err error
		chunk := make([]byte, 10<<10)
		for range 2000 {
			var buffered int
			if buffered, err = c.Write(chunk); err != nil {
				break
			}
			if buffered > b.cfg.MaxKept {
				t.Fatalf("%d bytes are buffered, over %d", buffered, b.cfg.MaxKept)
			}
		}
		if !errors.Is(err, ErrFull) {
			t.Fatalf("error %v, not ErrFull", err)
		}
		if err := r.end(); !errors.Is(err, ErrFull) {
			t.Errorf("Closed(%v), not ErrFull", err)
		}
		if _, err := c.Write(chunk); !errors.Is(err, ErrFull) {
			t.Errorf("write after the end: %v, not ErrFull", err)
		}
	})
}

func TestStalledWhileThePeerTakesNothing(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, small)
		r := newRecorder(t)
		c, peer := b.connect(r)
		if d := c.Stalled(); d != 0 {
			t.Fatalf("stalled for %v at the start", d)
		}
		total := 0
		for buffered := 0; buffered < 1<<20; {
			var err error
			if buffered, err = c.Write(make([]byte, 64<<10)); err != nil {
				t.Fatal(err)
			}
			total += 64 << 10
		}
		if c.Stalled() == 0 {
			t.Error("bytes are buffered and nothing is stalled")
		}
		readN(t, peer, total)
		r.wait("the end of the stall", func() bool { return c.Stalled() == 0 })
	})
}

func TestClosedAnswersWriters(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		b := newBench(t, im, nil)
		r := newRecorder(t)
		c, _ := b.connect(r)
		c.Close()
		c.Close()
		c.Shutdown()
		if err := r.end(); !errors.Is(err, ErrClosed) {
			t.Errorf("Closed(%v), not ErrClosed", err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("write: %v, not ErrClosed", err)
		}
	})
}

func TestAddAfterCloseLeavesTheConnection(t *testing.T) {
	over(t, func(t *testing.T, im implementation) {
		if im.name == "outbox" {
			t.Skip("an Outbox belongs to no loop")
		}
		b := newBench(t, im, nil)
		server, peer := b.dial()
		defer peer.Close()
		defer server.Close()
		if err := b.loop.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.loop.Add(server, newRecorder(t)); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("add to a closed loop: %v", err)
		}
		go func() { _, _ = server.Write([]byte("still mine")) }()
		if got := readN(t, peer, 10); string(got) != "still mine" {
			t.Errorf("got %q", got)
		}
	})
}

// A long message over a slow connection is progress all along, not one stall: who looks at Written must not cut it off.
func TestProgressOfALongWriteIsReported(t *testing.T) {
	r := newRecorder(t)
	room := make(chan int)
	c := Outbox(func(b []byte) error { room <- len(b); return nil }, func() {}, r, nil)
	const long = 1 << 20
	if buffered, err := c.Write(make([]byte, long)); buffered != long || err != nil {
		t.Fatal(buffered, err)
	}
	for went := 0; went < long; {
		n := <-room
		if n > maxPiece {
			t.Fatalf("a piece of %d bytes", n)
		}
		went += n
		r.wait("the piece to be reported", func() bool { return r.written.Load() == int64(went) })
	}
	c.Close()
	r.end()
}
