package main

import (
	"context"
	"time"
)

// unfinished open calls whose first message never ends.
var unfinished = []attack{
	{name: "unfinished-devices", what: "200 connections of 1,000 calls on the devices' gRPC port, without credentials, that never finish their first frame",
		flood: unfinishedFlood(onDevices, false)},
	{name: "unfinished-backends", what: "the same on the backends' gRPC port, without a key", flood: unfinishedFlood(onBackends, false)},
	{name: "unfinished-publish", what: "the same with a key: 50 connections of 1,000 publishes", flood: unfinishedFlood(onBackends, true)},
}

// partOfFrame is the head of a message of 1,000 bytes, and the first of these.
var partOfFrame = []byte{0, 0, 0, 3, 232, 10, 1, 'u'}

func unfinishedFlood(at place, key bool) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		connections, bearer := t.n(200, 20), ""
		if key {
			connections, bearer = t.n(50, 10), t.Key
		}
		t.each(ctx, connections, func(ctx context.Context, _ int) error {
			addr, method, _ := at(t)
			if key {
				method = methodPublish
			}
			h, err := dialH2(ctx, t, addr, nil, false)
			if err != nil {
				return err
			}
			defer h.close()
			for range t.n(1000, 200) / atOnce {
				if err := h.write(func() error { return openUnfinished(h, method, bearer) }); err != nil {
					return err
				}
				t.count("calls", atOnce)
			}
			for { // whatever was ended is noticed by a write
				sleep(ctx, time.Second)
				if err := h.write(func() error { return h.framer.WritePing(false, [8]byte{}) }); err != nil {
					return err
				}
			}
		})
	}
}

func openUnfinished(h *h2, method, bearer string) error {
	for range atOnce {
		id, err := h.openLocked(method, bearer)
		if err != nil {
			return err
		}
		if err := h.framer.WriteData(id, false, partOfFrame); err != nil {
			return err
		}
	}
	return nil
}
