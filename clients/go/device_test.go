package ramen

import (
	"context"
	"testing"
)

// start runs a device against s without pauses, until the test ends.
func start(t testing.TB, s *server, cfg DeviceConfig) (*Device, <-chan error) {
	t.Helper()
	cfg.URL, cfg.GRPC = s.URL, s.GRPC
	if cfg.User == "" && cfg.Token == nil {
		cfg.User = "u1"
	}
	if cfg.Device == "" {
		cfg.Device = "d1"
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.rand = func(int64) int64 { return 0 }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- d.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		await(t, "Run's return", done)
	})
	return d, ended
}

// mailbox pushes messages 1 to n from the device's cursor on, and ends a stream after cut frames (hello counted); 0: never.
func mailbox(n int, cut func(stream int) int) func(int, *scripted) {
	return func(stream int, s *scripted) {
		frames := cut(stream)
		left := func() bool { frames--; return frames != 0 }
		s.hello(helloFor(s.opening))
		if !left() {
			return
		}
		pushed := false
		for i := placeOf(s.Cursor) + 1; i <= n; i++ {
			s.push(pushOf(i))
			pushed = true
			if !left() {
				return
			}
		}
		if s.transport != Poll || !pushed && s.wait {
			<-s.gone
		}
	}
}

func never(int) int { return 0 }

func TestPushesAreHandledInOrder(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		s.script = mailbox(300, never)
		c := newCollector()
		start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: func(_ context.Context, m *Message) error {
			c.add(m)
			return nil
		}})
		c.await(t, 300)
		c.wantInOrder(t, 300)
	})
}

// SPEC 2.3, 2.6: the streams are cut after each number of frames in turn; the union is exact.
func TestCutAtEveryFrameLosesAndRepeatsNothing(t *testing.T) {
	overEach(t, func(t *testing.T, tr Transport) {
		s := newServer(t)
		const n = 40
		s.script = mailbox(n, func(stream int) int { return 1 + stream%9 })
		c := newCollector()
		d, _ := start(t, s, DeviceConfig{Transports: []Transport{tr}, Handler: func(_ context.Context, m *Message) error {
			c.add(m)
			return nil
		}})
		c.await(t, n)
		c.wantInOrder(t, n)
		if g := d.Stats().Gaps; g != 0 {
			t.Errorf("%d gaps", g)
		}
	})
}
