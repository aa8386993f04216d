package simulation

import (
	"context"
	"fmt"
	"sync"
	"time"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// kept is what the world knows that the store has, by what has taken effect in it.
type kept struct {
	mu  sync.Mutex
	ids map[string]bool // user/id
}

func (k *kept) add(user protocol.UserID, entries []store.Entry) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range entries {
		k.ids[string(user)+"/"+string(entries[i].Message.ID)] = true
	}
}

func (k *kept) has(user protocol.UserID, id protocol.MessageID) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ids[string(user)+"/"+string(id)]
}

// stored is the store as one process has it, over the bus: the calls of a memory.Store, each sent and answered. What was not answered by its
// deadline may take effect later.
type stored struct {
	memory.Shared
	b    *bus
	node *node
	at   *node
	kept *kept
}

func newStored(w *world, n *node) *stored {
	s := &stored{Shared: w.disk.OpenShared(), b: w.bus, node: n, at: w.store, kept: w.kept}
	s.Script(s.appended)
	return s
}

func (s *stored) message(what string, a, b uint64, text string) message {
	return message{from: s.node, to: s.at, what: what, a: a, b: b, text: text}
}

// appended is the script of appends: what becomes of one.
func (s *stored) appended(ctx context.Context, op memory.Op) memory.Fault {
	if op.Kind != memory.OpAppend {
		return memory.Fault{}
	}
	entries := op.Append.Entries
	m := s.message("append", uint64(op.Shard), uint64(op.Epoch), name(op.User, entries, op.Append.Kills))
	arrived, late := make(chan bool, 1), new(memory.Delayed)
	var mu sync.Mutex
	gone := false
	s.b.send(m, func() {
		mu.Lock()
		defer mu.Unlock()
		if gone {
			late.Arrive()
			return
		}
		arrived <- true
	})
	unknown := fmt.Errorf("simulation: append: %w", store.ErrUnknown)
	select {
	case <-arrived:
	case <-ctx.Done():
		mu.Lock()
		defer mu.Unlock()
		gone = true
		select {
		case <-arrived:
			return memory.Fault{Err: unknown}
		default:
		}
		return memory.Fault{Err: unknown, Late: late}
	}
	back := m
	back.from, back.to, back.what, back.quiet = m.to, m.from, "append.", true
	in := s.b.transitNow(&back)
	if end, has := ctx.Deadline(); has && in >= time.Until(end) {
		return memory.Fault{Err: unknown, Answer: func() { <-ctx.Done() }}
	}
	return memory.Fault{Answer: func() { time.Sleep(in) }}
}

// Append implements store.Store.
func (s *stored) Append(ctx context.Context, batch []store.Append, answer func(i int, err error)) {
	s.Shared.Append(ctx, batch, func(i int, err error) {
		if err == nil {
			s.kept.add(batch[i].User, batch[i].Entries)
		}
		answer(i, err)
	})
}

// name tells appends of one user apart.
func name(user protocol.UserID, entries []store.Entry, kills []store.Ref) string {
	text := string(user)
	for i := range entries {
		text += " " + string(entries[i].Message.ID)
	}
	if len(kills) > 0 {
		text += fmt.Sprint(" -", len(kills))
	}
	return text
}

// transitNow is how long an answer that is sent now is under way, until an instant of its own.
func (b *bus) transitNow(m *message) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	return time.Duration(b.takeLocked(max(now, b.blockedLocked(m))+b.transit(m)) - now)
}

// all answers err for each of n.
func all(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

func (s *stored) failed(ctx context.Context, verb string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("simulation: %s: %w: %w", verb, store.ErrUnknown, err)
	}
	return fmt.Errorf("simulation: %s: %w", verb, store.ErrClosed)
}

// LastEpoch implements store.Store.
func (s *stored) LastEpoch(ctx context.Context) (protocol.Epoch, error) {
	type answer struct {
		e   protocol.Epoch
		err error
	}
	a, ok := call(ctx, s.b, s.message("last epoch", 0, 0, ""), func() answer {
		e, err := s.Store.LastEpoch(context.Background())
		return answer{e, err}
	})
	if !ok {
		return 0, s.failed(ctx, "last epoch")
	}
	return a.e, a.err
}

// Claim implements store.Store.
func (s *stored) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	errs, ok := call(ctx, s.b, s.message("claim", uint64(epoch), 0, fmt.Sprint(shards)), func() []error {
		return s.Store.Claim(context.Background(), shards, epoch, owner)
	})
	if !ok {
		return all(len(shards), s.failed(ctx, "claim"))
	}
	return errs
}

// Claims implements store.Shared.
func (s *stored) Claims(ctx context.Context, shards []protocol.ShardID) ([]store.Claimed, []error) {
	type answer struct {
		claims []store.Claimed
		errs   []error
	}
	a, ok := call(ctx, s.b, s.message("claims", 0, 0, fmt.Sprint(shards)), func() answer {
		claims, errs := s.Shared.Claims(context.Background(), shards)
		return answer{claims, errs}
	})
	if !ok {
		return make([]store.Claimed, len(shards)), all(len(shards), s.failed(ctx, "claims"))
	}
	return a.claims, a.errs
}

// Load implements store.Store.
func (s *stored) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	type answer struct {
		m   store.Mailbox
		err error
	}
	a, ok := call(ctx, s.b, s.message("load", uint64(at.Shard), uint64(at.Epoch), string(user)), func() answer {
		m, err := s.Store.Load(context.Background(), at, user)
		return answer{m, err}
	})
	if !ok {
		return store.Mailbox{}, s.failed(ctx, "load")
	}
	return a.m, a.err
}

// SaveDevices implements store.Store.
func (s *stored) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	batch = append([]store.DeviceSave(nil), batch...)
	first := &batch[0]
	errs, ok := call(ctx, s.b, s.message("save", uint64(len(batch)), uint64(first.Epoch), ""), func() []error {
		return s.Store.SaveDevices(context.Background(), batch, durable)
	})
	if !ok {
		return all(len(batch), s.failed(ctx, "save"))
	}
	return errs
}

// Forget implements store.Store.
func (s *stored) Forget(ctx context.Context, batch []store.Forget) []error {
	batch = append([]store.Forget(nil), batch...)
	errs, ok := call(ctx, s.b, s.message("forget", uint64(len(batch)), uint64(batch[0].Epoch), ""), func() []error {
		return s.Store.Forget(context.Background(), batch)
	})
	if !ok {
		return all(len(batch), s.failed(ctx, "forget"))
	}
	return errs
}

// Replace implements store.Replacer.
func (s *stored) Replace(ctx context.Context, at store.Owner, user protocol.UserID, last protocol.Position, m store.Mailbox) error {
	err, ok := call(ctx, s.b, s.message("replace", uint64(at.Shard), uint64(at.Epoch), string(user)), func() error {
		return s.Shared.Replace(context.Background(), at, user, last, m)
	})
	if !ok {
		return s.failed(ctx, "replace")
	}
	return err
}

// unfenced is a stored that cannot tell what it has lost, as Cassandra: it has no Replace, and compares no last position.
type unfenced struct{ s *stored }

var _ store.Store = unfenced{}

func (u unfenced) Identity() store.Identity { return u.s.Identity() }
func (u unfenced) LastEpoch(ctx context.Context) (protocol.Epoch, error) {
	return u.s.LastEpoch(ctx)
}
func (u unfenced) Claim(ctx context.Context, shards []protocol.ShardID, epoch protocol.Epoch, owner string) []error {
	return u.s.Claim(ctx, shards, epoch, owner)
}
func (u unfenced) Load(ctx context.Context, at store.Owner, user protocol.UserID) (store.Mailbox, error) {
	m, err := u.s.Load(ctx, at, user)
	m.Last = protocol.Position{}
	return m, err
}
func (u unfenced) Append(ctx context.Context, batch []store.Append, answer func(int, error)) {
	u.s.Append(ctx, batch, answer)
}
func (u unfenced) SaveDevices(ctx context.Context, batch []store.DeviceSave, durable bool) []error {
	return u.s.SaveDevices(ctx, batch, durable)
}
func (u unfenced) Forget(ctx context.Context, batch []store.Forget) []error {
	return u.s.Forget(ctx, batch)
}
func (u unfenced) Close() error { return u.s.Close() }
