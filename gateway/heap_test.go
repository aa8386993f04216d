package gateway

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// leastCounted and mostCounted are what is counted for each byte of the heap.
const (
	leastCounted = 0.95
	mostCounted  = 1.5
)

// What memory_bytes bounds is what the heap holds, whatever messages and users look like. The store here keeps nothing.
func TestFix17WhatIsCountedIsWhatIsHeld(t *testing.T) {
	text := func(n, i int) string { return fmt.Sprintf("%0*d", n, i) }
	texts := func(n, length, i int) map[string]string {
		m := make(map[string]string)
		for k := range n {
			m[text(length, k)] = text(length, i)
		}
		return m
	}
	publishes := func(n, users int, edit func(p *link.Publish, i int)) func(w *fixture) {
		return func(w *fixture) {
			for from := 0; from < n; from += 500 {
				var batch []link.Publish
				for i := from; i < from+500; i++ {
					p := link.Publish{User: protocol.UserID(text(20, i%users)), TTLMS: time.Hour.Milliseconds(), Message: &protocol.Message{
						ID: protocol.MessageID(text(16, i)), Priority: medium, ContentType: protocol.ContentTypeJSON,
					}}
					edit(&p, i)
					p.Route = w.route(p.User)
					batch = append(batch, p)
				}
				for _, r := range w.publish(batch...) {
					if r.Status != link.StatusAccepted {
						t.Fatal(r.Err)
					}
				}
			}
		}
	}
	devices := func(n int, edit func(o *link.Open, i int), open bool) func(w *fixture) {
		return func(w *fixture) {
			for i := range n {
				o := link.Open{User: protocol.UserID(text(20, i)), Device: protocol.DeviceID(text(20, i)), Transport: protocol.TransportSSE}
				edit(&o, i)
				o.Route = w.route(o.User)
				s, _, err := w.g.Open(context.Background(), o, nothing{})
				if err != nil {
					t.Fatal(err)
				}
				if !open {
					s.Close(protocol.ReasonGone)
				}
			}
		}
	}
	for _, c := range []struct {
		name string
		most float64
		fill func(w *fixture)
	}{
		{"tiny messages", mostCounted, publishes(50_000, 10, func(*link.Publish, int) {})},
		{"one message a user", mostCounted, publishes(20_000, 20_000, func(*link.Publish, int) {})},
		{"plain messages", mostCounted, publishes(20_000, 100, func(p *link.Publish, i int) { p.Message.Payload = []byte(text(1000, i)) })},
		{"large payloads", mostCounted, publishes(500, 500, func(p *link.Publish, i int) { p.Message.Payload = []byte(text(64<<10, i)) })},
		{"long words", mostCounted, publishes(20_000, 10, func(p *link.Publish, i int) {
			p.Message.ID, p.Message.Type, p.Message.CollapseKey = protocol.MessageID(text(128, i)), text(128, i), text(128, i)
			p.Device, p.Message.ContentType = protocol.DeviceID(text(128, i)), text(128, i)
		})},
		{"huge where", mostCounted, publishes(5000, 10, func(p *link.Publish, i int) { p.Where = map[string]string{"os": text(4000, i)} })},
		{"huge where with a key", mostCounted, publishes(5000, 10, func(p *link.Publish, i int) {
			p.Where, p.Message.CollapseKey = map[string]string{"os": text(4000, i)}, text(10, i)
		})},
		{"where of many", mostCounted, publishes(5000, 10, func(p *link.Publish, i int) { p.Where = texts(100, 10, i) })},
		{"some headers", mostCounted, publishes(10_000, 10, func(p *link.Publish, i int) { p.Message.Headers = texts(5, 10, i) })},
		{"many headers", mostCounted, publishes(1000, 10, func(p *link.Publish, i int) { p.Message.Headers = texts(400, 5, i) })},
		{"devices", mostCounted, devices(20_000, func(*link.Open, int) {}, false)},
		{"devices of few users", mostCounted, devices(20_000, func(o *link.Open, i int) { o.User = protocol.UserID(text(20, i%400)) }, false)},
		{"devices with contexts", mostCounted, devices(10_000, func(o *link.Open, i int) {
			o.Context = &protocol.DeviceContext{App: text(30, i), OS: text(30, i), Labels: texts(16, 20, i)}
		}, false)},
		{"streams", 8, devices(10_000, func(*link.Open, int) {}, true)}, // most of them is the frontend's
	} {
		t.Run(c.name, func(t *testing.T) {
			w := heapWorld(t)
			before := heap()
			c.fill(w)
			if err := w.g.writeBehind.flush(context.Background(), false); err != nil {
				t.Fatal(err)
			}
			held, counted := float64(heap()-before), float64(w.g.common.Ledger.Memory.Load())
			t.Logf("%.0f bytes are held, %.2f counted for each", held, counted/held)
			if counted < leastCounted*held || counted > c.most*held {
				t.Errorf("%.0f bytes are counted, %.0f are held", counted, held)
			}
			w.check()
		})
	}
}

// Verdicts of where and pushes that are not acked are counted too, and all is gone with what it was for.
func TestFix17PushesAndVerdictsAreCounted(t *testing.T) {
	w := heapWorld(t)
	w.cfg.DevicesPerUser = 64
	var all []*recorder
	for d := range 64 {
		all = append(all, w.attach(fmt.Sprint("d", d), over(protocol.TransportSSE)))
	}
	before, counted := heap(), w.g.common.Ledger.Memory.Load()
	for i := range 1000 {
		w.accept(fmt.Sprint("m", i), medium, where("os", "ios"))
	}
	for _, r := range all {
		r.stream.Credit(plenty)
	}
	for _, r := range all { // what the recorders keep is not the gateway's
		r.mu.Lock()
		r.pushes = nil
		r.mu.Unlock()
	}
	held, more := float64(heap()-before), float64(w.g.common.Ledger.Memory.Load()-counted)
	t.Logf("%.0f bytes are held, %.2f counted for each", held, more/held)
	if more < 0.9*held || more > 2*held {
		t.Errorf("%.0f bytes are counted, %.0f are held", more, held)
	}
	w.check()
	for _, r := range all {
		r.stream.Ack(1000, "")
	}
	w.check()
}

func heapWorld(t *testing.T) *fixture {
	w := &fixture{t: t, cfg: Default(), epoch: 1}
	w.cfg.ShardCount, w.cfg.OpensPerSecond, w.cfg.PublishesPerSecond, w.cfg.MailboxBytes = testShards, 0, 0, 1<<30
	g, err := New(w.cfg, Deps{Store: nullStore{}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	w.g = g
	if err := g.Take(context.Background(), []protocol.ShardID{0, 1, 2, 3}, 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.Close(context.Background()) })
	w.accept(strings.Repeat("w", 10), medium, user("warm")) // what is made once
	return w
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // pools are emptied in two turns
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

type nothing struct{}

func (nothing) Push(_ link.Generation, _ []protocol.Push, _ bool) {}
func (nothing) Acked(link.Generation, protocol.Seq)               {}
func (nothing) Closed(link.Generation, protocol.Reason, string)   {}
func (nothing) Lost(link.Generation, link.Loss)                   {}

// While memory is full, nobody is taken into it who is not there, and who is there makes room.
func TestFix17FullMemoryTakesNobodyIn(t *testing.T) {
	edit := func(c *Config) { c.PublishesPerSecond, c.MemoryBytes = 0, 16<<20 }
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		w.accept("before", high, user("stored"))
		w.unloadAll()
		d := w.open("d")
		for i := 0; ; i++ {
			p := w.message(fmt.Sprint("m", i), high, payload(60<<10), user(fmt.Sprint("u", i)))
			if i%8 == 0 {
				p = w.message(fmt.Sprint("m", i), high, payload(60<<10))
			}
			if r := w.publish(p)[0]; r.Status != link.StatusAccepted {
				wantCode(t, r.Err, protocol.CodeUnavailable)
				break
			}
		}
		_, err := w.tryOpen("d", ofUser("nobody"))
		wantCode(t, err, protocol.CodeUnavailable)
		_, err = w.tryOpen("d", ofUser("stored"))
		wantCode(t, err, protocol.CodeUnavailable)
		_, err = w.tryOpen("new")
		wantCode(t, err, protocol.CodeUnavailable)
		_, err = w.g.Messages(context.Background(), w.route("stored"), "stored", allOfIt)
		wantCode(t, err, protocol.CodeUnavailable)
		cursor := d.last()
		d = w.open("d", at(cursor)) // who is there comes back
		d.ackAll()
		w.check()
		if _, err := w.tryOpen("d", ofUser("stored")); err != nil {
			t.Errorf("once there is room: %v", err)
		}
	})
}

// One user's messages take a part of the memory at most, whatever they are made of: they come from the store as a whole.
func TestFix17OneUserTakesAPartOfTheMemory(t *testing.T) {
	edit := func(c *Config) { c.PublishesPerSecond, c.MemoryBytes = 0, 16<<20 }
	inSyncTest(t, edit, func(t *testing.T, w *fixture) {
		headers := func(p *link.Publish) {
			p.Message.Headers = map[string]string{}
			for i := range 400 {
				p.Message.Headers[fmt.Sprint(i)] = ""
			}
		}
		n := 0
		for ; n < 1000; n++ {
			if r := w.publish(w.message(fmt.Sprint("m", n), low, headers, key(fmt.Sprint("k", n))))[0]; r.Status != link.StatusAccepted {
				wantCode(t, r.Err, protocol.CodeResourceExhausted)
				break
			}
		}
		if held := w.g.common.Ledger.Memory.Load(); n == 1000 || held > 6<<20 {
			t.Errorf("%d messages of 400 headers are taken, %d bytes", n, held)
		}
		w.accept("again", low, headers, key("k0")) // it replaces as much
		w.accept("other", low, headers, user("bob"))
	})
}
