package main

import (
	"context"
	"io"
	"time"
)

// slowRequests hold connections by sending a byte a second (slowloris).
var slowRequests = []attack{
	{name: "slow-heads", what: "2,000 connections on both HTTP ports send the head of a request byte by byte", flood: slowFlood("GET /ramen/receive?device=d HTTP/1.1\r\nHost: ramen\r\nX-", false)},
	{name: "slow-bodies", what: "2,000 connections send bodies without credentials byte by byte",
		flood: slowFlood("POST /ramen/ack?device=d HTTP/1.1\r\nHost: ramen\r\nContent-Length: 1000000\r\n\r\n", false)},
	{name: "slow-preface", what: "2,000 connections on both gRPC ports send half a preface", flood: slowFlood("PRI * HTTP/2.0\r\n", true)},
}

// slowFlood sends head at once, and then a byte a second, to the HTTP ports or the gRPC ports.
func slowFlood(head string, grpcPorts bool) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		at := []string{t.Devices, t.Backends}
		if grpcPorts {
			at = []string{t.DevicesGRPC, t.BackendsGRPC}
		}
		t.each(ctx, t.n(2000, 200), func(ctx context.Context, i int) error {
			c, err := t.dial(ctx, at[i%2])
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := io.WriteString(c, head); err != nil {
				return err
			}
			if grpcPorts {
				_, err := io.Copy(io.Discard, c) // until the server has had enough, or the flood is over
				return err
			}
			for {
				sleep(ctx, time.Second)
				if _, err := io.WriteString(c, "x"); err != nil {
					return err
				}
			}
		})
	}
}
