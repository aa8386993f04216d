package main

import (
	"context"
	"io"
	"net"
)

// connects come and go.
var connects = []attack{
	{name: "connect-reset", what: "64 callers connect to all four ports and reset the connection", flood: connectFlood},
	{name: "bad-tokens", what: "64 callers open streams with bad tokens", flood: badTokens},
}

func connectFlood(ctx context.Context, t *target) {
	ports := []string{t.Devices, t.DevicesGRPC, t.Backends, t.BackendsGRPC}
	t.each(ctx, t.n(64, 16), func(ctx context.Context, i int) error {
		c, err := t.dial(ctx, ports[i%len(ports)])
		if err != nil {
			return err
		}
		if tcp, ok := c.(*conn).Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // an RST
		}
		return c.Close()
	})
}

func badTokens(ctx context.Context, t *target) {
	request := "GET /ramen/receive?device=d HTTP/1.1\r\nHost: ramen\r\nAuthorization: Bearer " + t.token("u", "d") + "x\r\nConnection: close\r\n\r\n"
	t.each(ctx, t.n(64, 16), func(ctx context.Context, _ int) error {
		c, err := t.dial(ctx, t.Devices)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, c)
		t.count("requests", 1)
		return err
	})
}
