package h2

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/net/http2"

	"ramen/frontend/h2/h2test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var testPort = Port{Name: "test", Opens: "/t/Stream", Calls: 1000, CallsPerSecond: 1000, Unfinished: 100_000}

func newGuard(t testing.TB, change func(*Config, *Port)) *Guard {
	t.Helper()
	cfg, port := Default(), testPort
	if change != nil {
		change(&cfg, &port)
	}
	g, err := New(cfg, port, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Close()
		if n := g.bytes.Load(); n != 0 {
			t.Errorf("%d bytes are counted after the end of all connections", n)
		}
	})
	return g
}

// conn is a connection of g behind its preface, and where its frames are written.
func conn(t testing.TB, g *Guard) (*Conn, *http2.Framer, *bytes.Buffer) {
	client, server := net.Pipe()
	c := g.enter(server)
	t.Cleanup(func() { c.Close(); client.Close() })
	go io.Copy(io.Discard, client)
	if why := c.arrived([]byte(http2.ClientPreface)); why != fine {
		t.Fatal(why)
	}
	var w bytes.Buffer
	return c, http2.NewFramer(&w, nil), &w
}

// Whatever the portions are in which frames come, and however messages lie in them, what is unfinished is counted exactly.
func TestUnfinishedBytesAreExact(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 16))
	g := newGuard(t, func(_ *Config, p *Port) { p.Unfinished = 1 << 30 })
	c, f, w := conn(t, g)
	c.setKnown()
	streams := map[uint32][]byte{} // what is to be sent of each
	total := map[uint32]int{}
	for step := range 3000 {
		id := uint32(r.IntN(8))*2 + 1
		if len(streams[id]) == 0 {
			streams[id] = h2test.Frame(r.IntN(300), nil)
			streams[id] = append(streams[id], make([]byte, int(streams[id][3])<<8|int(streams[id][4]))...)
			total[id] = len(streams[id])
		}
		n := r.IntN(len(streams[id]) + 1)
		part := streams[id][:n]
		streams[id] = streams[id][n:]
		switch r.IntN(8) {
		case 0:
			f.WriteDataPadded(id, false, part, make([]byte, r.IntN(200)))
		case 1:
			f.WriteData(id, false, part)
			f.WriteRSTStream(id, http2.ErrCodeCancel)
			delete(streams, id)
		case 2:
			f.WriteData(id, true, part)
			delete(streams, id)
		default:
			f.WriteData(id, false, part)
		}
		c.sent.Add(1) // else so many small frames are too many
		c.counts.resets.left = 100
		for w.Len() > 0 {
			if why := c.arrived(w.Next(1 + r.IntN(40))); why != fine {
				t.Fatalf("step %d: %v", step, why.text())
			}
		}
	}
	sum := 0
	for id, left := range streams {
		want, got := 0, 0
		if sent := total[id] - len(left); len(left) > 0 {
			want = sent
		}
		if m := c.partial[id]; m != nil {
			got = m.got
		}
		if got != want {
			t.Errorf("stream %d: %d bytes are counted, want %d", id, got, want)
		}
		sum += got
	}
	if n := int(g.bytes.Load()); n != sum || c.pending != sum {
		t.Errorf("%d and %d bytes are counted, want %d", n, c.pending, sum)
	}
}

// Many connections that never finish their messages do not take more than the bound: those with the oldest end, and a message that
// takes a moment does not.
func TestFix16UnfinishedMessagesAreBounded(t *testing.T) {
	g := newGuard(t, nil)
	old, f, w := conn(t, g)
	f.WriteData(1, false, h2test.Frame(1<<20, make([]byte, 60_000-5)))
	if why := old.arrived(w.Bytes()); why != fine || g.bytes.Load() != 60_000 {
		t.Fatalf("%q, %d bytes", why.text(), g.bytes.Load())
	}
	g.sweep()
	fresh, f, w := conn(t, g)
	f.WriteData(1, false, h2test.Frame(1<<20, make([]byte, 60_000-5)))
	if why := fresh.arrived(w.Bytes()); why != fine {
		t.Errorf("the new one ends: %s", why.text())
	}
	if !old.over.Load() || fresh.over.Load() {
		t.Errorf("ended are: old %v, new %v", old.over.Load(), fresh.over.Load())
	}
	if n := g.bytes.Load(); n != 60_000 {
		t.Errorf("%d bytes are counted", n)
	}
	w.Reset()
	f.WriteData(3, false, h2test.Frame(1<<20, make([]byte, 60_000-5)))
	if why := fresh.arrived(w.Bytes()); why != manyBytes {
		t.Errorf("a connection with too much by itself: %q", why.text())
	}
}

// A message has ten seconds, and then has to come at 16 KiB a second.
func TestFix16MessagesThatComeSlowlyEnd(t *testing.T) {
	g := newGuard(t, func(_ *Config, p *Port) { p.Unfinished = 1 << 30 })
	slow, f, w := conn(t, g)
	steady, f2, w2 := conn(t, g)
	slow.setKnown()
	steady.setKnown()
	f.WriteData(1, false, h2test.Frame(1<<30, nil))
	f2.WriteData(1, false, h2test.Frame(1<<30, nil))
	for second := range 60 {
		f.WriteData(1, false, make([]byte, 100))
		f2.WriteData(1, false, make([]byte, slowRate))
		for c, b := range map[*Conn]*bytes.Buffer{slow: w, steady: w2} {
			if why := c.arrived(b.Bytes()); why != fine {
				t.Fatal(why.text())
			}
			b.Reset()
		}
		g.sweep()
		if over := slow.over.Load(); over != (second >= slowAfter) {
			t.Fatalf("second %d: ended %v", second, over)
		}
	}
	if steady.over.Load() {
		t.Error("the steady one has ended")
	}
}

// Calls that wait for their first message are bounded: the one that waits longest ends.
func TestFix16WaitsAreBounded(t *testing.T) {
	var q waits
	all := make([]Wait, mostWaits+10)
	type number struct{}
	for i := range all {
		all[i].ctx = context.WithValue(t.Context(), number{}, i)
		old := q.add(&all[i])
		if i < mostWaits {
			if old != nil {
				t.Fatalf("call %d ends another", i)
			}
		} else if old.Value(number{}) != i-mostWaits {
			t.Fatalf("call %d ends %v", i, old.Value(number{}))
		}
	}
	for i := range all {
		if i%2 == 0 {
			all[i].End()
		}
	}
	if q.count != mostWaits/2 {
		t.Errorf("%d wait", q.count)
	}
	for range slowAfter {
		if late := q.sweep(); late != nil {
			t.Fatalf("%d are late", len(late))
		}
	}
	if late := q.sweep(); len(late) != mostWaits/2 || q.count != 0 || q.first != nil || q.last != nil {
		t.Errorf("%d are late, %d wait", len(late), q.count)
	}
}

// Connections without a token are bounded: the oldest makes way, once it has had its time; one with a token does not.
func TestFix16UnknownConnectionsMakeWay(t *testing.T) {
	g := newGuard(t, func(c *Config, _ *Port) { c.UnknownConnections = 3 })
	known, _, _ := conn(t, g)
	known.setKnown()
	var all []*Conn
	for range 5 {
		c, _, _ := conn(t, g)
		all = append(all, c)
	}
	for i, c := range all {
		if over := c.over.Load(); over != (i < 2) {
			t.Errorf("connection %d is ended: %v", i, over)
		}
	}
	if known.over.Load() || g.unknownConnections() != 3 {
		t.Errorf("the known one is ended: %v; %d are unknown", known.over.Load(), g.unknownConnections())
	}
	g.port.Grace = time.Hour // now the next one waits, until one leaves
	entered := make(chan *Conn)
	_, server := net.Pipe()
	go func() { entered <- g.enter(server) }()
	all[3].setKnown()
	(<-entered).Close()
	if all[2].over.Load() {
		t.Error("one was ended although another has left")
	}
}

func TestBudgets(t *testing.T) {
	g := newGuard(t, nil)
	for name, c := range map[string]struct {
		write func(f *http2.Framer, i int)
		least int // that are let through of an unknown connection
		most  int
		why   reason
	}{
		"calls":    {func(f *http2.Framer, i int) { f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1)}) }, mostUnknown, 300, manyCalls},
		"resets":   {func(f *http2.Framer, _ int) { f.WriteRSTStream(1, 0) }, 16, 100, manyResets},
		"pings":    {func(f *http2.Framer, _ int) { f.WritePing(false, [8]byte{}) }, 500, 2000, manyNothings},
		"settings": {func(f *http2.Framer, _ int) { f.WriteSettings() }, 500, 2000, manyNothings},
		"data":     {func(f *http2.Framer, _ int) { f.WriteData(1, false, []byte{0}) }, 500, 2000, manyNothings},
		"unknown":  {func(f *http2.Framer, _ int) { f.WriteRawFrame(99, 0, 0, nil) }, 500, 2000, manyNothings},
		"continue": {func(f *http2.Framer, _ int) { f.WriteContinuation(1, false, nil) }, 500, 2000, manyNothings},
	} {
		conn, f, w := conn(t, g)
		n, why := 0, fine
		for ; why == fine && n <= c.most; n++ {
			w.Reset()
			c.write(f, n)
			why = conn.arrived(w.Bytes())
		}
		if why != c.why || n <= c.least {
			t.Errorf("%s: %q after %d", name, why.text(), n)
		}
	}
}

// What a client sends in answer to what it gets is no flood: it may ping and give windows as often as it is sent something.
func TestAnswersToWhatIsSentAreNoFlood(t *testing.T) {
	g := newGuard(t, nil)
	c, f, w := conn(t, g)
	c.setKnown()
	var out bytes.Buffer
	ours := http2.NewFramer(&out, nil)
	for i := range 100_000 {
		out.Reset()
		ours.WriteData(1, false, make([]byte, 100))
		if _, err := c.Write(out.Bytes()); err != nil {
			t.Fatal(err)
		}
		w.Reset()
		f.WritePing(false, [8]byte{})
		f.WriteWindowUpdate(0, 100)
		f.WriteWindowUpdate(1, 100)
		f.WriteData(1, false, h2test.Frame(6, make([]byte, 6))) // an ack
		if why := c.arrived(w.Bytes()); why != fine {
			t.Fatalf("answer %d: %s", i, why.text())
		}
	}
}

// A publish in and its answer out cost no allocation.
func BenchmarkFollow(b *testing.B) {
	g := newGuard(b, nil)
	c, f, w := conn(b, g)
	c.setKnown()
	f.WriteData(1, false, h2test.Frame(200, make([]byte, 200)))
	var out bytes.Buffer
	http2.NewFramer(&out, nil).WriteData(1, false, make([]byte, 60))
	b.ReportAllocs()
	for b.Loop() {
		if c.arrived(w.Bytes()) != fine {
			b.Fatal("refused")
		}
		c.follow(out.Bytes())
	}
}

func TestFollowingAllocatesNothing(t *testing.T) {
	g := newGuard(t, nil)
	c, f, w := conn(t, g)
	c.setKnown()
	f.WriteData(1, false, h2test.Frame(200, make([]byte, 200)))
	if n := testing.AllocsPerRun(100, func() { c.arrived(w.Bytes()); c.follow(w.Bytes()) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
