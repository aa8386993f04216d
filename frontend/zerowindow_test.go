package frontend

import (
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"ramen/frontend/h2/h2test"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// A peer whose window is zero takes no answer: grpc keeps each until the connection ends. They count for what one connection may
// have, and the others are refused by a reset, without a handler.
func TestAnswersThatNobodyTakesAreBounded(t *testing.T) {
	b := newBench(t, nil)
	c, err := net.Dial("tcp", b.grpc)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	const streams = 1500
	h := h2test.NewClient(c, 0)
	defer h.Close()
	good := openFrame(t, asking("u", "d"))
	h.Message(h.Call(ramenpb.Devices_Stream_FullMethodName), openBytes(&good), false) // this connection is known
	h.Flush()
	if !h.Setting(http2.SettingMaxConcurrentStreams, uint32(b.s.cfg.GRPCStreams)) {
		t.Fatal("the connection was not told how many streams it may have")
	}
	bad := openBytes(&protocol.OpenFrame{}) // without a user
	for range streams {
		h.Message(h.Call(ramenpb.Devices_Stream_FullMethodName), bad, true)
	}
	go h.Flush()
	if want := streams - b.s.cfg.GRPCStreams; !h.Resets(want, http2.ErrCodeRefusedStream) {
		t.Fatalf("fewer than %d streams were refused", want)
	}
}

func openBytes(o *protocol.OpenFrame) []byte {
	return protocol.AppendProtoDeviceFrame(nil, &protocol.DeviceFrame{Kind: protocol.FrameOpen, Open: *o})
}
