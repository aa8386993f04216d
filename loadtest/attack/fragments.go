package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// fragments are WebSocket messages that do not end, from devices with good tokens.
var fragments = []attack{
	{name: "ws-unfinished", what: "2,000 WebSockets hold an unfinished message of 65,000 bytes", flood: fragmentFlood(2000, 65000)},
	{name: "ws-fragments", what: "64 WebSockets send fragments of 1 byte for ever", flood: fragmentFlood(64, 1)},
	{name: "ws-empty-fragments", much: true, what: "64 WebSockets send empty fragments for ever", flood: fragmentFlood(64, 0)},
	{name: "ws-ping", much: true, what: "64 WebSockets send pings", flood: pingFlood},
}

// webSocket opens a WebSocket of a device, and reads what comes until it ends.
func webSocket(ctx context.Context, t *target, device, extensions string) (io.WriteCloser, error) {
	c, err := t.dial(ctx, t.Devices)
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(c, "GET /ramen/ws?device=%s HTTP/1.1\r\nHost: ramen\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%sAuthorization: Bearer %s\r\n\r\n",
		device, extensions, t.token("flood-"+device, device))
	var resp *http.Response
	if err == nil {
		resp, err = http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	}
	if err == nil && resp.StatusCode != http.StatusSwitchingProtocols {
		err = fmt.Errorf("open a websocket: %s", resp.Status)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	go func() { // it ends with the connection
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}()
	return c, nil
}

// frame is a masked frame of a client (RFC 6455 5.2); the mask is 0, so that the payload stands as it is.
func frame(first byte, payload []byte) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	default:
		b = append(b, 0x80|126)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	}
	return append(append(b, 0, 0, 0, 0), payload...)
}

// fragmentFlood begins a text message and goes on with fragments of size bytes. Large ones are sent once; then a byte a second follows.
func fragmentFlood(sockets, size int) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		body := []byte(strings.Repeat(" ", size))
		pause, more := time.Duration(0), bytes.Repeat(frame(0, body), 500)
		if size > 1000 {
			pause, more = time.Second, frame(0, []byte(" "))
		}
		t.each(ctx, t.n(sockets, sockets/8), func(ctx context.Context, i int) error {
			c, err := webSocket(ctx, t, fmt.Sprintf("device-%d", i), "")
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Write(frame(1, body)); err != nil {
				return err
			}
			for {
				sleep(ctx, pause)
				if _, err := c.Write(more); err != nil {
					return err
				}
				t.count("writes", 1)
			}
		})
	}
}

func pingFlood(ctx context.Context, t *target) {
	many := bytes.Repeat(frame(0x89, []byte("x")), 500)
	t.each(ctx, t.n(64, 8), func(ctx context.Context, i int) error {
		c, err := webSocket(ctx, t, fmt.Sprintf("device-%d", i), "")
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			if _, err := c.Write(many); err != nil {
				return err
			}
			t.count("writes", 1)
		}
	})
}
