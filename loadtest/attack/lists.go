package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// lists ask for what is long to count or large to send: a user with 64 devices and 9,900 messages.
var lists = []attack{
	{name: "lists-devices", what: "50 callers list the devices of a user with 64 of them and 9,900 messages", prepare: fillMailbox(0),
		flood: getFlood(50, "/v1/users/listed/devices")},
	{name: "lists-messages", much: true, what: "50 callers list the messages of the same user", prepare: fillMailbox(0), flood: getFlood(50, "/v1/users/listed/messages")},
	{name: "lists-check", what: "8 callers ask for /debug/check beside the same user", prepare: fillMailbox(0), flood: getFlood(8, "/debug/check")},
	{name: "lists-deaf-grpc", what: "gRPC lists of 30 MB to 8 clients with 8 calls each that do not read", prepare: fillMailbox(3000), flood: deafLists},
	{name: "lists-deaf-http", what: "HTTP lists of 30 MB to 200 clients that do not read", prepare: fillMailbox(3000), flood: deafGets},
}

// fillMailbox makes 64 devices and 9,900 messages with payloads of size bytes.
func fillMailbox(size int) func(ctx context.Context, t *target) error {
	return func(ctx context.Context, t *target) error {
		c := client(1)
		defer c.CloseIdleConnections()
		devices, batches := t.n(64, 16), t.n(11, 3)
		for d := range devices {
			device := fmt.Sprintf("device-%d", d)
			if err := t.poll(ctx, c, "listed", device, "&device="+device); err != nil {
				return err
			}
		}
		payload := strings.Repeat("x", size)
		for range batches {
			messages := make([]message, 900)
			for i := range messages {
				messages[i] = message{"user": "listed", "priority": "low", "payload": payload}
			}
			if accepted, err := t.publish(ctx, c, messages); err != nil || accepted != len(messages) {
				return fmt.Errorf("only %d of %d messages were accepted: %w", accepted, len(messages), err)
			}
		}
		return nil
	}
}

func getFlood(callers int, path string) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		c := client(callers)
		t.each(ctx, callers, func(ctx context.Context, _ int) error {
			if err := t.get(ctx, c, path); err != nil {
				return err
			}
			t.count("lists", 1)
			return nil
		})
	}
}

// deafLists asks and takes no more than the first window.
func deafLists(ctx context.Context, t *target) {
	request := append([]byte{0, 0, 0, 0, 8, 10, 6}, "listed"...)
	t.each(ctx, t.n(8, 4), func(ctx context.Context, _ int) error {
		h, err := dialH2(ctx, t, t.BackendsGRPC, nil, false)
		if err != nil {
			return err
		}
		defer h.close()
		h.stingy = true
		for range 8 {
			err := h.write(func() error {
				id, err := h.openLocked(methodListMessages, t.Key)
				if err != nil {
					return err
				}
				return h.framer.WriteData(id, true, request)
			})
			if err != nil {
				return err
			}
			t.count("lists", 1)
		}
		for {
			sleep(ctx, time.Second)
			if err := h.write(func() error { return h.framer.WriteWindowUpdate(0, 1) }); err != nil {
				return err
			}
		}
	})
}

func deafGets(ctx context.Context, t *target) {
	request := "GET /v1/users/listed/messages HTTP/1.1\r\nHost: ramen\r\nAuthorization: Bearer " + t.Key + "\r\n\r\n"
	t.each(ctx, t.n(200, 20), func(ctx context.Context, _ int) error {
		c, err := t.dial(ctx, t.Backends)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte(request)); err != nil {
			return err
		}
		t.count("lists", 1)
		sleep(ctx, 20*time.Second)
		return nil
	})
}
