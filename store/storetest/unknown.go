package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"ramen/store"
)

func testUnknown(t *testing.T, cfg Config) {
	if cfg.Stall == nil {
		t.Skip("the store cannot be stalled")
	}
	t.Run("AppendIsBackAtItsDeadline", func(t *testing.T) {
		a := entry("a", 1)
		p, release := stalled(t, cfg, step("u", a))
		release()
		got := p.load(epoch1, "u").Entries
		if len(got) > 1 || len(got) == 1 && diffEntries(got, []store.Entry{a}) != "" {
			t.Fatalf("entries %v", got)
		}
	})
	t.Run("LaterAppendTakesEffectLater", func(t *testing.T) {
		a := entry("a", 1)
		p, release := stalled(t, cfg, step("u", a))
		release()
		p.append(kill("u", ref(a)))
		p.wantEntries(epoch1, "u")
	})
	testWrittenAgain(t, cfg)
	t.Run("LoadIsBackAtItsDeadline", func(t *testing.T) {
		p, release := stalled(t, cfg, step("u", entry("a", 1)))
		defer release()
		ctx, cancel := context.WithTimeout(p.ctx, 50*time.Millisecond)
		defer cancel()
		if m, err := p.Load(ctx, epoch1, "u"); err == nil && len(m.Entries) > 1 {
			t.Fatalf("load: %+v", m)
		}
	})
}

// testWrittenAgain writes an append whose outcome is unknown again, alone and with more.
func testWrittenAgain(t *testing.T, cfg Config) {
	a, b, replaced := entry("a", 1), entry("b", 2), entry("replaced", 3)
	t.Run("WrittenAgainItHappensOnce", func(t *testing.T) {
		p, release := stalled(t, cfg, step("u", a))
		release()
		p.append(step("u", a, b))
		p.append(step("u", a, b))
		p.wantEntries(epoch1, "u", a, b)
	})
	t.Run("WrittenAgainWhileTheFirstIsUnderWay", func(t *testing.T) {
		p, release := stalled(t, cfg, step("u", a))
		answered := make(chan error, 1)
		go func() { answered <- Append(p.ctx, p, []store.Append{step("u", a, b)})[0] }()
		release()
		if err := <-answered; err != nil {
			t.Fatal(err)
		}
		p.wantEntries(epoch1, "u", a, b)
	})
	t.Run("ItsKillIsWrittenAgain", func(t *testing.T) {
		s := step("u", b)
		s.Kills = []store.Ref{ref(a)}
		p, release := stalled(t, cfg, s)
		release()
		s.Entries = append(s.Entries, replaced)
		s.Kills = append(s.Kills, ref(b))
		p.append(s)
		p.wantEntries(epoch1, "u", replaced)
	})
	t.Run("KilledWhenWrittenAgainItIsGone", func(t *testing.T) {
		p, release := stalled(t, cfg, step("u", a))
		release()
		again := step("u", a, b)
		again.Kills = []store.Ref{ref(a)}
		p.append(again)
		p.wantEntries(epoch1, "u", b)
	})
}

// stalled is a store with one append of user u that was answered at its deadline.
func stalled(t *testing.T, cfg Config, first store.Append) (*place, func()) {
	s, stall := cfg.Stall(t)
	p := placeOf(t, func() store.Store { return s })
	p.claim(1, 1)
	release := stall()
	ctx, cancel := context.WithTimeout(p.ctx, 50*time.Millisecond)
	defer cancel()
	err := Append(ctx, p, []store.Append{first})[0]
	if !errors.Is(err, store.ErrUnknown) {
		release()
		t.Fatalf("append at its deadline: %v, want %v", err, store.ErrUnknown)
	}
	return p, release
}
