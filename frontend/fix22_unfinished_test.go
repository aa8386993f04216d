package frontend

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/frontend/ws"
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
