package process

import (
	"context"
	"fmt"
	"testing"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// After a kill -9 a device that had been pushed nothing is resumed with the place that hello gave it, over every transport: the
// server keeps no session, and the device is known. SPEC 2.2, 2.3.
func TestFix11HelloPlaceOutlivesAKill(t *testing.T) {
	flags := append(anyPorts.flags(), "--dev", "--data", t.TempDir())
	s := start(t, flags...)
	opened := func(over wire.Transport, device, cursor string) protocol.Hello {
		t.Helper()
		d := wire.Dialer{URL: "http://" + s.at.devices, GRPC: s.at.devicesGRPC, Wait: time.Second}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		conn, err := d.Dial(ctx, over, &protocol.OpenFrame{User: "alice", Device: protocol.DeviceID(device), Cursor: cursor}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		f := next(t, conn)
		if f.Kind != protocol.ServerHello || !protocol.ValidCursor(f.Hello.Cursor) {
			t.Fatalf("%s: the first frame is %+v, not a hello with a cursor", over, f)
		}
		return f.Hello
	}
	places := make(map[string]string)
	for _, from := range allTransports {
		for _, to := range allTransports {
			device := fmt.Sprintf("%s-%s", from, to)
			places[device] = opened(from, device, "").Cursor
		}
	}
	s.Kill()
	s = start(t, flags...)
	for _, from := range allTransports {
		for _, to := range allTransports {
			device := fmt.Sprintf("%s-%s", from, to)
			if h := opened(to, device, places[device]); !h.Resumed || h.Seq != 0 {
				t.Errorf("from %s to %s: hello is %+v", from, to, h)
			}
		}
	}
}

var allTransports = []wire.Transport{wire.WSProto, wire.WSJSON, wire.GRPC, wire.SSE, wire.Poll}
