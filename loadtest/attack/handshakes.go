package main

import (
	"context"
	"io"
)

// handshakes are begun and not ended.
var handshakes = []attack{
	{name: "half-tls", what: "2,000 connections send half a ClientHello", tls: true, flood: halfFlood(2000, func(*target) string {
		return "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + "0123456789012345678901234567"
	})},
	{name: "half-websocket", what: "2,000 connections send a WebSocket's handshake without its last line", flood: halfFlood(2000, func(t *target) string {
		return "GET /ramen/ws?device=half HTTP/1.1\r\nHost: ramen\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer " + t.token("flood", "half") + "\r\n"
	})},
	{name: "silent", what: "5,000 connections on all four ports say nothing", flood: silentFlood},
}

// halfFlood sends a part of a handshake to the devices' HTTP port and waits for the end of the connection.
func halfFlood(connections int, part func(t *target) string) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		t.each(ctx, t.n(connections, connections/10), func(ctx context.Context, _ int) error {
			return sayAndWait(ctx, t, t.Devices, part(t))
		})
	}
}

func silentFlood(ctx context.Context, t *target) {
	ports := []string{t.Devices, t.DevicesGRPC, t.Backends, t.BackendsGRPC}
	t.each(ctx, t.n(5000, 400), func(ctx context.Context, i int) error { return sayAndWait(ctx, t, ports[i%len(ports)], "") })
}

// sayAndWait sends a text on a new connection, and reads until the server ends it.
func sayAndWait(ctx context.Context, t *target, addr, text string) error {
	c, err := t.dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}
