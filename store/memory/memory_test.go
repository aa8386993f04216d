package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSharedConformance is of a disk that several open, and that may lose.
func TestSharedConformance(t *testing.T) {
	for _, unfenced := range []bool{false, true} {
		t.Run(fmt.Sprintf("unfenced=%v", unfenced), func(t *testing.T) {
			place := func() (*Disk, func() store.Store) {
				d := NewDisk(Config{CheckLast: true, Unfenced: unfenced})
				return d, func() store.Store { return d.OpenShared() }
			}
			storetest.Run(t, storetest.Config{
				Retention: 5 * time.Minute, ChecksLast: true, Unfenced: unfenced,
				Open: func(*testing.T) func() store.Store {
					_, open := place()
					return open
				},
				Lose: func(*testing.T) (func() store.Store, func() func()) {
					d, open := place()
					return open, func() func() {
						r := d.Replica()
						return func() { r.Promote() }
					}
				},
			})
		})
	}
}

// TestOneNodeLoses: of the shards that were on it alone what came since is lost.
func TestOneNodeLoses(t *testing.T) {
	d := NewDisk(Config{CheckLast: true})
	s, ctx := d.OpenShared(), t.Context()
	if err := errors.Join(s.Claim(ctx, []protocol.ShardID{1, 2}, 1, "test")...); err != nil {
		t.Fatal(err)
	}
	if err := s.Renew(ctx, "test", time.Minute); err != nil {
		t.Fatal(err)
	}
	before, errs := s.Claims(ctx, []protocol.ShardID{1, 2})
	if errs != nil {
		t.Fatal(errs)
	}
	r := d.Replica()
	for _, shard := range []protocol.ShardID{1, 2} {
		a := store.Append{Owner: store.Owner{Shard: shard, Epoch: 1}, User: "u", Entries: []store.Entry{message("a", 1)}}
		if err := storetest.Append(ctx, s, []store.Append{a})[0]; err != nil {
			t.Fatal(err)
		}
	}
	r.Promote(2)
	after, errs := s.Claims(ctx, []protocol.ShardID{1, 2})
	if errs != nil || after[0] != before[0] || after[1].History == before[1].History || !after[1].Present {
		t.Fatalf("claims %+v, and then %+v, %v", before, after, errs)
	}
	for shard, want := range map[protocol.ShardID]int{1: 1, 2: 0} {
		if m, err := s.Load(ctx, store.Owner{Shard: shard, Epoch: 1}, "u"); err != nil || len(m.Entries) != want {
			t.Errorf("shard %d: %+v, %v; want %d entries", shard, m, err, want)
		}
	}
	d.Wipe()
	if after, errs = s.Claims(ctx, []protocol.ShardID{1}); errs != nil || after[0].Epoch != 0 || after[0].Present {
		t.Fatalf("claims of a wiped disk: %+v, %v", after, errs)
	}
}

func TestConformance(t *testing.T) {
	for _, checks := range []bool{false, true} {
		t.Run(fmt.Sprintf("checkLast=%v", checks), func(t *testing.T) {
			storetest.Run(t, storetest.Config{
				Retention: 5 * time.Minute,
				Open: func(*testing.T) func() store.Store {
					d := NewDisk(Config{CheckLast: checks})
					return func() store.Store { return d.Open() }
				},
				Stall:      stall,
				Script:     func(t *testing.T) (func() store.Store, storetest.Script) { return newScripted(checks) },
				ChecksLast: checks,
			})
		})
	}
}

// stall scripts appends that wait until their deadline, and take effect then.
func stall(*testing.T) (store.Store, func() func()) {
	s := New()
	return s, func() func() {
		released := make(chan struct{})
		s.Script(func(ctx context.Context, op Op) Fault {
			if op.Kind != OpAppend {
				return Fault{}
			}
			select {
			case <-released:
				return Fault{}
			case <-ctx.Done():
				return Fault{Err: store.ErrUnknown}
			}
		})
		return func() { close(released) }
	}
}

// script is a storetest.Script.
type script struct {
	mu   sync.Mutex
	held map[protocol.UserID]chan struct{}
	late map[protocol.UserID]*Delayed
}

func newScripted(checks bool) (func() store.Store, *script) {
	d := NewDisk(Config{CheckLast: checks})
	c := &script{held: make(map[protocol.UserID]chan struct{}), late: make(map[protocol.UserID]*Delayed)}
	return func() store.Store {
		s := d.Open()
		s.Script(c.do)
		return s
	}, c
}

func (c *script) do(ctx context.Context, op Op) Fault {
	if op.Kind != OpAppend {
		return Fault{}
	}
	c.mu.Lock()
	held, late := c.held[op.User], c.late[op.User]
	delete(c.late, op.User)
	c.mu.Unlock()
	switch {
	case late != nil:
		return Fault{Err: store.ErrUnknown, Late: late}
	case held != nil:
		select {
		case <-held:
		case <-ctx.Done():
			return Fault{Err: store.ErrUnknown, Lost: true}
		}
	}
	return Fault{}
}

func (c *script) Hold(user protocol.UserID) (release func()) {
	held := make(chan struct{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[user] = held
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.held, user)
		close(held)
	}
}

func (c *script) Late(user protocol.UserID) (arrive func()) {
	d := new(Delayed)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late[user] = d
	return d.Arrive
}

func newClaimed(t *testing.T) (*Store, store.Owner) {
	t.Helper()
	s := New()
	at := store.Owner{Shard: 3, Epoch: 1}
	if err := errors.Join(s.Claim(t.Context(), []protocol.ShardID{3}, 1, "test")...); err != nil {
		t.Fatal(err)
	}
	return s, at
}

func message(id protocol.MessageID, micros uint64) store.Entry {
	return store.Entry{
		Position: protocol.Position{Epoch: 1, Micros: micros},
		Message:  &protocol.Message{ID: id, Priority: protocol.PriorityHigh, CreatedMS: time.Now().UnixMilli()},
	}
}

func TestScriptDecidesEffectAndAnswer(t *testing.T) {
	broken := errors.New("broken")
	cases := []struct {
		name   string
		fault  Fault
		err    error
		effect bool
	}{
		{"through", Fault{}, nil, true},
		{"unknown, with effect", Fault{Err: store.ErrUnknown}, store.ErrUnknown, true},
		{"unknown, without", Fault{Err: store.ErrUnknown, Lost: true}, store.ErrUnknown, false},
		{"an error is no effect", Fault{Err: broken}, broken, false},
		{"lost in a crash", Fault{Lost: true}, nil, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, at := newClaimed(t)
			s.Script(func(_ context.Context, op Op) Fault {
				if op.Kind != OpAppend || op.User != "u" || op.Append.Entries[0].Message.ID != "a" {
					t.Errorf("op %+v", op)
				}
				return c.fault
			})
			err := storetest.Append(t.Context(), s, []store.Append{{Owner: at, User: "u", Entries: []store.Entry{message("a", 1)}}})[0]
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Fatalf("answer %v, want %v", err, c.err)
			}
			s.Script(nil)
			m, err := s.Load(t.Context(), at, "u")
			if err != nil || (len(m.Entries) == 1) != c.effect {
				t.Fatalf("%d entries, %v; effect wanted: %v", len(m.Entries), err, c.effect)
			}
		})
	}
}

func TestScriptedAdmit(t *testing.T) {
	s := New()
	full := errors.New("full")
	s.Script(func(_ context.Context, op Op) Fault {
		if op.Kind == OpAdmit && op.Priority == protocol.PriorityLow {
			return Fault{Err: full}
		}
		return Fault{}
	})
	if err := s.Admit(protocol.PriorityLow); !errors.Is(err, full) {
		t.Fatalf("low: %v", err)
	}
	if err := s.Admit(protocol.PriorityHigh); err != nil {
		t.Fatalf("high: %v", err)
	}
}

func TestClosedStoreLeavesItsDiskAlone(t *testing.T) {
	d := NewDisk(Config{})
	dead, heir := d.Open(), d.Open()
	if err := errors.Join(dead.Claim(t.Context(), []protocol.ShardID{3}, 1, "test")...); err != nil {
		t.Fatal(err)
	}
	reached, goOn := make(chan struct{}), make(chan struct{})
	dead.Script(func(context.Context, Op) Fault { close(reached); <-goOn; return Fault{} })
	answer := make(chan error)
	at := store.Owner{Shard: 3, Epoch: 1}
	go func() {
		answer <- storetest.Append(context.Background(), dead, []store.Append{{Owner: at, User: "u", Entries: []store.Entry{message("a", 1)}}})[0]
	}()
	<-reached
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if err := <-answer; !errors.Is(err, store.ErrClosed) {
		t.Fatalf("append on a closed store: %v", err)
	}
	if m, err := heir.Load(t.Context(), at, "u"); err != nil || len(m.Entries) != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
}

func TestIDsAreForgottenAfterTheRetention(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	d := NewDisk(Config{IDRetention: time.Minute, Now: func() time.Time { return now }})
	s := d.Open()
	at := store.Owner{Shard: 3, Epoch: 1}
	if err := errors.Join(s.Claim(t.Context(), []protocol.ShardID{3}, 1, "test")...); err != nil {
		t.Fatal(err)
	}
	e := message("a", 1)
	e.Message.CreatedMS = now.UnixMilli()
	if err := storetest.Append(t.Context(), s, []store.Append{{Owner: at, User: "u", Entries: []store.Entry{e}}})[0]; err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		seen  int
	}{{time.Minute, 1}, {time.Millisecond, 0}} {
		now = now.Add(c.after)
		m, err := s.Load(t.Context(), at, "u")
		if err != nil || len(m.Seen) != c.seen || len(m.Entries) != 1 {
			t.Fatalf("after %v: %+v, %v", c.after, m, err)
		}
	}
}

// TestOneShardUnread: its claim has an error, and comes when its time is over; the others are read. An owner that cannot be asked for
// counts as present.
func TestOneShardUnread(t *testing.T) {
	s := NewDisk(Config{}).OpenShared()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	shards := []protocol.ShardID{1, 2, 3}
	if err := errors.Join(s.Claim(ctx, shards, 5, "a")...); err != nil {
		t.Fatal(err)
	}
	s.Script(func(ctx context.Context, op Op) Fault {
		switch {
		case op.Kind == OpPresence && op.Name == "a":
			return Fault{Err: errors.New("not told")}
		case op.Kind == OpClaims && op.Shard == 2:
			<-ctx.Done()
			return Fault{Err: ctx.Err()}
		}
		return Fault{}
	})
	claims, errs := s.Claims(ctx, shards)
	if len(errs) != 3 || errs[0] != nil || !errors.Is(errs[1], context.DeadlineExceeded) || errs[2] != nil {
		t.Fatalf("errors %v", errs)
	}
	for i := range claims {
		claims[i].History = ""
	}
	a := store.Claimed{Epoch: 5, Owner: "a", Present: true, PresenceUnread: true}
	if claims[0] != a || claims[1] != (store.Claimed{}) || claims[2] != a {
		t.Fatalf("claims %+v", claims)
	}
}
