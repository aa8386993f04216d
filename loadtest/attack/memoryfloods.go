package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
)

// memoryFloods fill memory with what waits, by publishers with a key and devices with tokens.
var memoryFloods = []attack{
	{name: "memory-plain", what: "payloads of 4 KB, in 256 MiB, of which 66 MiB are for messages", small: true, flood: publishFlood(100, func(_ int64, m message) {
		m["payload"] = strings.Repeat("x", 4000)
	})},
	{name: "memory-where", what: "where with values of 4,000 bytes, each another", small: true, flood: publishFlood(100, func(i int64, m message) {
		m["where"] = map[string]string{"label.x": fmt.Sprintf("%d%s", i, strings.Repeat("x", 3980))}
	})},
	{name: "memory-where-keys", much: true, what: "where with 400 keys and empty values", small: true, flood: publishFlood(100, func(i int64, m message) {
		where := make(map[string]string)
		for k := range 360 {
			where[fmt.Sprintf("label.%x", int64(k)+i)] = ""
		}
		m["where"] = where
	})},
	{name: "memory-headers", what: "headers of 4 KiB in 500 entries", small: true, flood: publishFlood(100, func(i int64, m message) {
		headers := make(map[string]string)
		for k := range 500 {
			headers[fmt.Sprintf("%x", int64(k)+i)] = "x"
		}
		m["headers"] = headers
	})},
	{name: "memory-words", what: "no payload, but ids, types and keys of 128 bytes", small: true, flood: publishFlood(1000, func(i int64, m message) {
		m["id"], m["type"], m["collapse_key"] = long("i", i), long("t", i), long("k", i)
	})},
	{name: "memory-tiny", much: true, what: "messages with nothing in them", small: true, flood: publishFlood(1000, func(int64, message) {})},
	{name: "memory-users", what: "each message to another user", small: true, flood: publishFlood(1000, func(i int64, m message) { m["user"] = fmt.Sprintf("user-%d", i) })},
	{name: "memory-devices", what: "each poll by another device, with a context of 1 KiB", small: true, flood: deviceFlood},
	{name: "memory-verdicts", what: "64 devices a user, none of which any where fits", small: true, flood: verdictFlood},
}

func long(prefix string, i int64) string {
	s := fmt.Sprintf("%s%d-", prefix, i)
	return s + strings.Repeat("x", 128-len(s))
}

// publishers is how many publish at once.
func publishers(t *target) int { return t.n(8, 4) }

// publishFlood publishes batches of medium priority, in which each message is made by fill.
func publishFlood(batch int, fill func(i int64, m message)) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		var number atomic.Int64
		c := client(publishers(t))
		t.each(ctx, publishers(t), func(ctx context.Context, _ int) error {
			messages := make([]message, 0, batch)
			for range batch {
				i := number.Add(1)
				m := message{"user": fmt.Sprintf("flood-%d", i%5000), "priority": "medium"}
				fill(i, m)
				messages = append(messages, m)
			}
			_, err := t.publish(ctx, c, messages)
			return err
		})
	}
}

func deviceFlood(ctx context.Context, t *target) {
	var number atomic.Int64
	c := client(200)
	query := "&label.x=" + url.QueryEscape(strings.Repeat("x", 900))
	t.each(ctx, t.n(200, 20), func(ctx context.Context, _ int) error {
		i := number.Add(1)
		user, device := fmt.Sprintf("flood-%d", i/50), fmt.Sprintf("device-%d", i)
		if err := t.poll(ctx, c, user, device, "&device="+device+query); err != nil {
			return err
		}
		t.count("devices", 1)
		return nil
	})
}

// verdictFlood has 64 devices a user look at messages that are for none of them.
func verdictFlood(ctx context.Context, t *target) {
	var number atomic.Int64
	c := client(32)
	t.each(ctx, t.n(16, 4), func(ctx context.Context, i int) error {
		user := fmt.Sprintf("flood-%d-%d", i, number.Add(1))
		for batch := range 9 {
			messages := make([]message, 0, 1000)
			for k := range 1000 {
				messages = append(messages, message{"user": user, "priority": "low", "where": map[string]string{"label.x": fmt.Sprint(batch, k)}})
			}
			if _, err := t.publish(ctx, c, messages); err != nil {
				return err
			}
			for d := range 64 {
				device := fmt.Sprintf("device-%d", d)
				if err := t.poll(ctx, c, user, device, "&device="+device); err != nil {
					return err
				}
			}
		}
		return nil
	})
}
