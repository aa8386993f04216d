package frontend

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/frontend/admission"
	"ramen/frontend/stream"
	"ramen/frontend/transport"
	"ramen/frontend/ws"
	"ramen/link"
	"ramen/protocol"
)

// clientFrame is a client's frame of text, with a mask of zeros, of which begin has come.
func clientFrame(fin bool, length int, begin []byte) []byte {
	b := []byte{byte(ws.Text), 0x80 | 126, 0, 0, 0, 0, 0, 0}
	if fin {
		b[0] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	return append(b, begin...)
}

// Connections that begin long messages hold no more than is configured, and disturb nobody whose messages are short.
func TestFix22UnfinishedMessagesAreBounded(t *testing.T) {
	const most, sockets, begin = 1 << 20, 60, 60_000
	b := newBench(t, func(c *Config, _ *Deps) { c.UnfinishedBytes = most })
	honest := dialSocket(b, asking("u", "honest"), ws.SubprotocolJSON)
	want(t, honest, protocol.ServerHello)
	message := clientFrame(true, 12, []byte(`{"later":{}}`))
	honest.c.UnderlyingConn().Write(message[:12])

	ends := make(chan error, sockets)
	for i := range sockets {
		x := dialSocket(b, asking("u", fmt.Sprint("hostile-", i)), ws.SubprotocolJSON)
		want(t, x, protocol.ServerHello)
		x.mute = true // an echo would be read as a part of the message
		x.c.UnderlyingConn().Write(clientFrame(i%2 == 0, begin+1, make([]byte, begin)))
		go func() {
			for {
				if _, err := x.next(); err != nil {
					ends <- err
					return
				}
			}
		}()
	}
	late := time.After(20 * time.Second)
	for range sockets - most/begin {
		select {
		case err := <-ends:
			if e, ok := errors.AsType[*closeError](err); !ok || e.code != protocol.ReasonResourceExhausted.CloseCode() || e.text == "" {
				t.Fatalf("one that holds too much ends with %v", err)
			}
		case <-late:
			t.Fatal("those that hold too much are not ended")
		}
	}
	if err := b.s.Check(); err != nil {
		t.Error(err)
	}
	honest.c.UnderlyingConn().Write(message[12:])
	b.g.publish("u", "honest", 1, `1`)
	wantPushes(t, honest, 0, 1)
	honest.say(ackSeq(1))
	b.until("it is acked", func() bool { return b.g.queueLocked("u", "honest").acked == 1 })
}

// A message whose sender keeps its stream alive by pings ends after a minute.
func TestFix22UnfinishedMessageHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := stream.Default()
		cfg.MaxAge = 0
		set, err := stream.NewSet(cfg, stream.Deps{Opener: newGateway(), Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		defer set.Close()
		all := newUnfinished(1<<20, prometheus.NewGauge(prometheus.GaugeOpts{}))
		encoders := newWSEncoders(ws.Default())
		x := &wsStream{conn: transport.NewByteConn(encoders.of(false, false)), reader: ws.NewReader(false, 0), unfinished: all}
		x.stream.Init(set, &stream.Request{User: "u", Device: "d", HeartbeatMS: 4000}, protocol.TransportWS, wsWriter{x})
		x.stream.Start(stream.Opened{Link: idleLink{}, Opened: link.Opened{Name: "s"}}, admission.Permit{}, func(*protocol.Hello) (stream.WriteResult, error) {
			x.conn.Use(new(wroteTo))
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
	name := map[*wsStream]string{}
	hold := func(x *wsStream, bytes int) (over string) {
		_, gone := u.hold(x, bytes, 0)
		for _, g := range gone {
			over += name[g]
		}
		if err := u.check(); err != nil {
			t.Fatal(err)
		}
		return over
	}
	a, b, c, d := new(wsStream), new(wsStream), new(wsStream), new(wsStream)
	name[a], name[b], name[c], name[d] = "a", "b", "c", "d"
	for i, step := range []struct {
		x     *wsStream
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
