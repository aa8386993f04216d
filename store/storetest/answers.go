package storetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"ramen/protocol"
	"ramen/store"
)

// scripted is a store whose appends fare as the script says, and its script.
func scripted(t *testing.T, cfg Config) (*place, Script) {
	t.Helper()
	if cfg.Script == nil {
		t.Skip("all users share the fate of a write")
	}
	open, script := cfg.Script(t)
	p := placeOf(t, open)
	p.claim(1, 1)
	return p, script
}

// answered is one answer of an Append.
type answered struct {
	user protocol.UserID
	err  error
}

// submit appends without waiting, and answers where the answers come.
func (p *place) submit(ctx context.Context, batch ...store.Append) <-chan answered {
	answers := make(chan answered, 2*len(batch))
	p.Append(ctx, batch, func(i int, err error) { answers <- answered{batch[i].User, err} })
	return answers
}

// want takes the next answer, which must be user's.
func (p *place) want(answers <-chan answered, user protocol.UserID, err error) {
	p.t.Helper()
	select {
	case a := <-answers:
		if a.user != user || !errors.Is(a.err, err) || (a.err == nil) != (err == nil) {
			p.t.Fatalf("answer of user %q: %v; want that of %q: %v", a.user, a.err, user, err)
		}
	case <-p.ctx.Done():
		p.t.Fatalf("no answer of user %q", user)
	}
}

// wantNone wants no answer to be there.
func (p *place) wantNone(answers <-chan answered) {
	p.t.Helper()
	select {
	case a := <-answers:
		p.t.Fatalf("an answer of user %q: %v", a.user, a.err)
	default:
	}
}

// testAnswers has a store answer each user at another time.
func testAnswers(t *testing.T, cfg Config) {
	t.Run("SlowUserHoldsUpNobody", func(t *testing.T) {
		p, script := scripted(t, cfg)
		release := script.Hold("slow")
		slow := p.submit(p.ctx, step("slow", entry("a", 1)))
		mixed := p.submit(p.ctx, step("u", entry("b", 1)))
		p.want(mixed, "u", nil)
		p.append(step("v", entry("c", 1)))
		p.load(epoch1, "v")
		p.wantNone(slow)
		release()
		p.want(slow, "slow", nil)
		p.wantEntries(epoch1, "slow", entryOf(p, "slow", "a"))
	})
	t.Run("SlowUserHoldsUpNobodyOfItsBatch", func(t *testing.T) {
		p, script := scripted(t, cfg)
		release := script.Hold("slow")
		answers := p.submit(p.ctx, step("slow", entry("a", 1)), step("u", entry("b", 1)))
		p.want(answers, "u", nil)
		p.wantNone(answers)
		p.append(step("u", entry("c", 2))) // goes on meanwhile
		release()
		p.want(answers, "slow", nil)
	})
	t.Run("OutOfOrder", func(t *testing.T) {
		p, script := scripted(t, cfg)
		users := []protocol.UserID{"u", "v", "w"}
		var releases []func()
		var batch []store.Append
		for _, u := range users {
			releases = append(releases, script.Hold(u))
			batch = append(batch, step(u, entry("a", 1)))
		}
		answers := p.submit(p.ctx, batch...)
		for _, i := range []int{1, 2, 0} {
			p.wantNone(answers)
			releases[i]()
			p.want(answers, users[i], nil)
		}
		p.wantNone(answers)
	})
	t.Run("NeverIsUnknownAtTheDeadline", func(t *testing.T) {
		p, script := scripted(t, cfg)
		release := script.Hold("never")
		a, b := entry("a", 1), entry("b", 2)
		ctx, cancel := context.WithTimeout(p.ctx, 50*time.Millisecond)
		defer cancel()
		answers := p.submit(ctx, step("never", a), step("u", entry("c", 1)))
		p.want(answers, "u", nil)
		p.want(answers, "never", store.ErrUnknown)
		release()
		p.append(step("never", a, b))
		p.wantEntries(epoch1, "never", a, b)
		p.wantNone(answers)
	})
}

// entryOf is the entry that is loaded of user under id.
func entryOf(p *place, user protocol.UserID, id protocol.MessageID) store.Entry {
	p.t.Helper()
	for _, e := range p.load(epoch1, user).Entries {
		if e.Message.ID == id {
			return e
		}
	}
	p.t.Fatalf("no entry of id %q", id)
	return store.Entry{}
}

// testLate has a write arrive behind those that followed it.
func testLate(t *testing.T, cfg Config) {
	a, b := entry("a", 1), entry("b", 2)
	// late is a store with a write of user u that was answered ErrUnknown, and has not arrived.
	late := func(t *testing.T, s store.Append) (*place, func()) {
		p, script := scripted(t, cfg)
		arrive := script.Late("u")
		wantErr(t, "a late append", Append(p.ctx, p, []store.Append{s})[0], store.ErrUnknown)
		p.wantEntries(epoch1, "u")
		return p, arrive
	}
	t.Run("ArrivesAlone", func(t *testing.T) {
		p, arrive := late(t, step("u", a))
		arrive()
		p.wantEntries(epoch1, "u", a)
	})
	t.Run("BehindTheSameAgain", func(t *testing.T) {
		p, arrive := late(t, step("u", a))
		p.append(step("u", a, b))
		arrive()
		p.wantEntries(epoch1, "u", a, b)
	})
	t.Run("BehindWhatHasKilledIt", func(t *testing.T) {
		p, arrive := late(t, step("u", a))
		again := step("u", a, b)
		again.Kills = []store.Ref{ref(a)}
		p.append(again)
		arrive()
		p.wantEntries(epoch1, "u", b)
		p.append(kill("u", ref(b)))
		p.wantEntries(epoch1, "u")
	})
	t.Run("BehindATakeOver", func(t *testing.T) {
		if cfg.Unfenced || cfg.Exclusive {
			t.Skip("the late write cannot be fenced, or is gone with its owner")
		}
		p, arrive := late(t, step("u", a))
		next := p.successor(cfg)
		next.claim(2, 1)
		next.wantEntries(epoch2, "u")
		arrive()
		next.wantEntries(epoch2, "u")
	})
}

// testLast is of a store that compares positions.
func testLast(t *testing.T, cfg Config) {
	if !cfg.ChecksLast {
		t.Skip("the store does not compare")
	}
	last := func(s store.Append, micros uint64) store.Append {
		s.Last = position(micros)
		return s
	}
	a, b, c := entry("a", 1), entry("b", 2), entry("c", 3)
	p := newPlace(t, cfg)
	p.claim(1, 1)
	refused := func(s store.Append, want protocol.Position) {
		t.Helper()
		var other *store.LastError
		if err := Append(p.ctx, p, []store.Append{s})[0]; !errors.As(err, &other) || other.Last != want {
			t.Fatalf("%v, want a LastError of %+v", err, want)
		}
	}
	refused(last(step("u", b), 1), protocol.Position{})
	p.wantEntries(epoch1, "u")
	p.append(step("u", a))
	p.append(last(step("u", b), 1))
	refused(last(step("u", c), 1), b.Position)
	killing := last(kill("u", ref(a)), 3)
	refused(killing, b.Position)
	p.wantEntries(epoch1, "u", a, b)
	if m := p.load(epoch1, "u"); m.Last != b.Position {
		t.Fatalf("the last position is %+v, want %+v", m.Last, b.Position)
	}
	p.append(last(kill("u", ref(a), ref(b)), 2)) // what is gone counts, too
	p.append(last(step("u", c), 2))
	p.wantEntries(epoch1, "u", c)
}
