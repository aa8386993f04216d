package frontend

import (
	"bytes"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
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
	const streams = 3000
	go floodStreams(c, streams)
	f := http2.NewFramer(nil, c)
	for refused := 0; refused < streams-b.s.cfg.GRPCStreams; {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatalf("%d streams were refused: %v", refused, err)
		}
		if r, is := frame.(*http2.RSTStreamFrame); is {
			if r.ErrCode != http2.ErrCodeRefusedStream {
				t.Fatalf("stream %d is reset with %v", r.StreamID, r.ErrCode)
			}
			refused++
		}
	}
}

// floodStreams opens streams with a bad first frame, and a window of zero.
func floodStreams(c net.Conn, n int) {
	c.Write([]byte(http2.ClientPreface))
	f := http2.NewFramer(c, nil)
	f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	f.WriteSettingsAck()
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for i := range n {
		head.Reset()
		for _, h := range [][2]string{
			{":method", "POST"}, {":scheme", "http"}, {":path", "/ramen.v1.Devices/Stream"}, {":authority", "ramen"},
			{"content-type", "application/grpc"}, {"te", "trailers"},
		} {
			enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		id := uint32(2*i + 1)
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true})
		if f.WriteData(id, true, []byte{0, 0, 0, 0, 2, 0x0a, 0x00}) != nil { // open without a user
			return
		}
	}
}
