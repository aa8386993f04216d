package ws

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"ramen/frontend/admission"
	"ramen/frontend/request"
	"ramen/frontend/sock"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/frontend/ws"
	"ramen/link"
	"ramen/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// takesAll is a connection that takes everything.
type takesAll struct{ sock.Conn }

func (takesAll) Write([]byte) (int, error) { return 0, nil }
func (takesAll) Shutdown()                 {}
func (takesAll) Close()                    {}

// noOwner opens nothing.
type noOwner struct{}

func (noOwner) Open(context.Context, time.Duration, link.Open, link.Receiver) (link.Stream, link.Opened, error) {
	return nil, link.Opened{}, errors.New("no owner")
}

// noLink is a gateway's end that does nothing.
type noLink struct{ link.Stream }

func (noLink) Credit(int)            {}
func (noLink) Measured(uint32)       {}
func (noLink) Close(protocol.Reason) {}

// clientFrame is a client's frame of text, with a mask of zeros, of which begin has come.
func clientFrame(fin bool, length int, begin []byte) []byte {
	b := []byte{byte(ws.Text), 0x80 | 126, 0, 0, 0, 0, 0, 0}
	if fin {
		b[0] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	return append(b, begin...)
}

// A message whose sender keeps its stream alive by pings ends after a minute.
func TestFix22UnfinishedMessageHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := stream.Default()
		cfg.MaxAge = 0
		set, err := stream.NewSet(cfg, stream.Deps{Opener: noOwner{}, Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		all := newUnfinished(1<<20, prometheus.NewGauge(prometheus.GaugeOpts{}))
		encoders := newEncoders(ws.Default())
		x := &deviceStream{conn: transport.NewByteConn(encoders.of(false, false)), reader: ws.NewReader(false, 0), unfinished: all}
		x.stream.Init(set, &stream.Request{User: "u", Device: "d", HeartbeatMS: 4000}, protocol.TransportWS, frameWriter{x})
		x.stream.Start(stream.Opened{Link: noLink{}, Opened: link.Opened{Name: "s"}}, admission.Permit{}, func(*protocol.Hello) (stream.WriteResult, error) {
			x.conn.Use(takesAll{})
			return stream.WriteResult{N: 10}, nil
		})
		ended := func() bool {
			live := false
			x.stream.UnlessClosed(func() { live = true })
			return !live
		}
		pass := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		x.Read(clientFrame(false, 2, []byte("{}")))
		for at := 0; at < messageTime-3000; at += 3000 {
			if ended() {
				t.Fatalf("it has ended after %d ms", at)
			}
			pass(3 * time.Second)
			x.Read([]byte{0x80 | byte(ws.Ping), 0x80, 0, 0, 0, 0})
		}
		pass(3 * time.Second)
		x.Read([]byte{0x80 | byte(ws.Ping), 0x80, 0, 0, 0, 0})
		if !ended() {
			t.Fatal("it has not ended")
		}
		if err := all.check(); err != nil || all.bytes != 0 || !x.reader.Idle() {
			t.Fatalf("it still holds %d bytes: %v", all.bytes, err)
		}
		x.Closed(nil)
	})
}

// Those that hold the most go first, of these the one that got nothing for longest; what is finished or gone is not counted.
func TestFix22TheLargestUnfinishedMessageGoesFirst(t *testing.T) {
	u := newUnfinished(100_000, prometheus.NewGauge(prometheus.GaugeOpts{}))
	name := map[*deviceStream]string{}
	hold := func(x *deviceStream, bytes int) (over string) {
		_, gone := u.set(x, bytes, 0)
		for _, g := range gone {
			over += name[g]
		}
		if err := u.check(); err != nil {
			t.Fatal(err)
		}
		return over
	}
	a, b, c, d := new(deviceStream), new(deviceStream), new(deviceStream), new(deviceStream)
	name[a], name[b], name[c], name[d] = "a", "b", "c", "d"
	for i, step := range []struct {
		x     *deviceStream
		bytes int
		over  string
	}{
		{a, 300, ""}, {b, 40_000, ""}, {c, 50_000, ""}, {c, 51_000, ""}, {d, 20_000, "b"}, {d, 0, ""}, {d, 45_000, ""}, {b, 40_000, "c"}, {a, 0, ""}, {a, 0, ""},
	} {
		if over := hold(step.x, step.bytes); over != step.over {
			t.Errorf("step %d: %q went, not %q", i, over, step.over)
		}
	}
	if u.bytes != 85_000 {
		t.Errorf("%d bytes are left", u.bytes)
	}
}

// 320 is a class of Go's allocator.
func TestStreamIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(deviceStream{}); size > 320 {
		t.Errorf("a stream takes %d bytes; want at most 320", size)
	}
}

func TestHeartbeatAllocatesNothing(t *testing.T) {
	for _, proto := range []bool{false, true} {
		all := newEncoders(ws.Default())
		c := transport.NewByteConn(all.of(proto, true))
		c.Use(takesAll{})
		if n := testing.AllocsPerRun(100, func() { c.WriteHeartbeat(1234567890123) }); n > 0 {
			t.Errorf("proto %v: %v allocations a heartbeat", proto, n)
		}
	}
}

// anyOwner opens everything.
type anyOwner struct{}

func (anyOwner) Open(context.Context, time.Duration, link.Open, link.Receiver) (link.Stream, link.Opened, error) {
	return noLink{}, link.Opened{}, nil
}

// noConn is a connection that the socket loop cannot take.
type noConn struct{}

func (noConn) Attach(sock.Handler) (sock.Conn, error) { return nil, sock.ErrClosed }

// Nobody hears of the end of a connection that was gone before its stream began: what came behind its handshake is not held.
func TestNothingIsHeldForAConnectionThatWasGone(t *testing.T) {
	set, err := stream.NewSet(stream.Default(), stream.Deps{Opener: anyOwner{}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	admit := admission.New(admission.Limits{})
	s, err := New(Config{Handshake: ws.Config{}, UnfinishedBytes: 1 << 20}, &transport.Services{Streams: set, Admission: admit, Requests: &request.Reader{}}, prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	permit, _ := admit.Admit("")
	n := &ws.Negotiated{Subprotocol: ws.SubprotocolJSON, Early: clientFrame(true, 1000, []byte(`{"ack"`))}
	s.serve(t.Context(), noConn{}, &request.Head{Query: "user=u&device=d"}, n, &permit, nil)
	if held, open := s.UnfinishedBytes(), admit.Len(); held != 0 || open != 0 {
		t.Errorf("%d bytes are held, and %d streams counted, for a connection that is gone", held, open)
	}
}
