package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/singleflight"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// A store that compares positions refuses an append where its own last is another than memory's, and has done nothing of it then. What
// it has tells what became of it:
//
//	the end of a write in doubt   that write has happened: it is put into effect, and the rest is written
//	less than memory's            it has lost what it had answered: it gets the mailbox again, whole, and then the append
//	more than memory's            something else wrote there: the shard is lost, and loaded again by whoever takes it next
//
// A store that has lost the claim fences its own owner: the shard is claimed again at the same epoch, and its mailboxes are probed.
// Meanwhile the mailbox's step stays under way, and its publishers are answered within the append's deadline.

// mostMends bounds the mailboxes that are mended at once: each is written as a whole. mendTries bounds the rounds of one: a step in doubt
// may arrive late between two of them.
const (
	mostMends = 64
	mendTries = 4
)

// mender is what the gateway knows of a store that may lose.
type mender struct {
	shared   store.Shared       // nil: no other process has it open
	replacer store.Replacer     // nil: it loses nothing
	claims   singleflight.Group // of shards whose claim is lost
	slots    chan struct{}      // one for each mailbox that is being mended

	rewritten atomic.Int64 // messages since the last line in the log
	mailboxes atomic.Int64 // the same
	toldMS    int64        // of that line; owned by the sweeper
}

func (m *mender) init(s store.Store) {
	m.shared, _ = s.(store.Shared)
	m.replacer, _ = s.(store.Replacer)
	m.slots = make(chan struct{}, mostMends)
}

// mends reports whether err, the store's answer to a step, asks for more than to be told.
func (o *ownership) mends(err error) bool {
	_, other := errors.AsType[*store.LastError](err)
	return other || o.claimLost(err)
}

// mend does what err, the store's answer to s, asks for, and appends again. It answers as the store would: nothing of the step was done
// unless the outcome is unknown.
func (s *step) mend(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.box.g.cfg.AppendTimeout)
	defer cancel()
	release, ok := s.box.g.mender.slot(ctx)
	if !ok {
		return notMended(err)
	}
	defer release()
	for range mendTries {
		written, e := s.mendOnce(ctx, err)
		if e != nil {
			return notMended(e)
		}
		if written {
			return nil
		}
		if err = s.appendAgain(ctx); !s.box.mends(err) {
			return err
		}
	}
	return notMended(err)
}

// replaceAll has the store take the mailbox of a step that probes it alone.
func (s *step) replaceAll() error {
	b := s.box
	ctx, cancel := context.WithTimeout(context.Background(), b.g.cfg.AppendTimeout)
	defer cancel()
	release, ok := b.g.mender.slot(ctx)
	if !ok {
		return notMended(ctx.Err())
	}
	defer release()
	if err := b.beginSaving(ctx); err != nil { // what is saved after the contents were taken, and before the store has them, would be lost
		return notMended(err)
	}
	defer b.endSaving()
	b.lock()
	last, all := b.Last(), b.Contents(b.g.nowMS())
	b.unlock()
	if !b.mayWrite() {
		return b.refusal()
	}
	if err := b.g.mender.replacer.Replace(ctx, b.Owner, b.User(), last, all); err != nil {
		return notMended(err)
	}
	return nil
}

// slot waits until one more mailbox may be mended.
func (m *mender) slot(ctx context.Context) (release func(), ok bool) {
	select {
	case m.slots <- struct{}{}:
		return func() { <-m.slots }, true
	case <-ctx.Done():
		return nil, false
	}
}

// notMended is err where nothing of the step was done, whatever is not known of what was to mend it.
func notMended(err error) error {
	if errors.Is(err, store.ErrFenced) {
		return err
	}
	return fmt.Errorf("gateway: write again what the store has lost: %v", err)
}

// appendAgain appends what is left of s by itself.
func (s *step) appendAgain(ctx context.Context) error {
	batch := make([]store.Append, 1)
	s.WriteTo(&batch[0])
	answer := make(chan error, 1)
	s.box.g.store.Append(ctx, batch, func(_ int, err error) { answer <- err })
	return <-answer
}

// mendOnce acts on one answer. written reports that nothing of s is left to write.
func (s *step) mendOnce(ctx context.Context, err error) (written bool, _ error) {
	b := s.box
	if !b.mayWrite() {
		return false, b.refusal()
	}
	other, is := errors.AsType[*store.LastError](err)
	if !is {
		return false, b.claimAgain(ctx)
	}
	if err := b.beginSaving(ctx); err != nil { // as in replaceAll
		return false, err
	}
	defer b.endSaving()
	b.lock()
	if !b.live() {
		b.unlock()
		return false, b.refusal()
	}
	found, known := s.Find(other.Last, b.g.nowMS())
	if known {
		b.inDoubtBytes.Store(0)
		b.g.release(b)
	}
	last := b.Last()
	behind := found == mailbox.FoundNothing && other.Last.Less(last) && b.g.mender.replacer != nil
	var all store.Mailbox
	if behind {
		all = b.Contents(b.g.nowMS())
	}
	b.unlock()
	switch {
	case found == mailbox.FoundAll:
		return true, nil
	case behind:
		return false, b.replace(ctx, other.Last, all)
	case other.Last == last: // what was in doubt is there
		return false, nil
	}
	b.lose(link.Loss{Reason: protocol.ReasonRebalance}, fmt.Errorf("gateway: user %q: memory knows of positions up to %d-%d: %w", b.User(), last.Epoch, last.Micros, err))
	return false, err
}

// replace has the store take all, where it has last as the mailbox's last position. Where it has another, the next append tells.
func (b *box) replace(ctx context.Context, last protocol.Position, all store.Mailbox) error {
	err := b.g.mender.replacer.Replace(ctx, b.Owner, b.User(), last, all)
	switch {
	case err == nil:
		b.g.noteRewritten(all, last)
	case !b.mends(err):
		return err
	}
	return nil
}

// noteRewritten counts the messages of all that lie behind last.
func (g *Gateway) noteRewritten(all store.Mailbox, last protocol.Position) {
	n := 0
	for i := range all.Entries {
		if last.Less(all.Entries[i].Position) {
			n++
		}
	}
	g.metrics.rewritten.Add(float64(n))
	g.mender.rewritten.Add(int64(n))
	g.mender.mailboxes.Add(1)
}

// tellMended has the log know of what was written again, once a second at most. It is the sweeper's.
func (g *Gateway) tellMended() {
	m := &g.mender
	if m.mailboxes.Load() == 0 || m.toldMS+1000 > g.nowMS() {
		return
	}
	m.toldMS = g.nowMS()
	g.log.Warn("the store had lost what it had answered; wrote it again from memory", "mailboxes", m.mailboxes.Swap(0), "messages", m.rewritten.Swap(0))
}
