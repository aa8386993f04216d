package gateway

import (
	"context"
	"sync"
	"sync/atomic"
)

// saveLock is held while something of a mailbox is saved, so that a record is not overwritten by an older one. It is a lock that can be waited
// for until a deadline, of four bytes a mailbox: who waits has a channel in saveWaits.
type saveLock struct{ state atomic.Uint32 }

const (
	saveFree    = iota
	saveHeld    // nobody waits
	saveAwaited // held, and somebody may wait
)

// saveWaits are those who wait for saveLocks.
type saveWaits struct {
	mu sync.Mutex
	of map[*saveLock]chan struct{} // guarded by mu: closed when the lock is given back
}

// tryBeginSaving takes the lock of b where it is free; endSaving gives it back.
func (b *box) tryBeginSaving() bool { return b.saving.state.CompareAndSwap(saveFree, saveHeld) }

// beginSaving waits until b's lock is free, and takes it: endSaving follows where it answers nil. Else ctx has ended.
func (b *box) beginSaving(ctx context.Context) error {
	for !b.tryBeginSaving() {
		freed := b.awaitSaving()
		if freed == nil {
			continue
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// awaitSaving is what is closed when b's lock is given back; nil: it is free.
func (b *box) awaitSaving() <-chan struct{} {
	w := &b.g.saves
	w.mu.Lock()
	defer w.mu.Unlock()
	if !b.saving.state.CompareAndSwap(saveHeld, saveAwaited) && b.saving.state.Load() != saveAwaited {
		return nil
	}
	freed := w.of[&b.saving]
	if freed == nil {
		if w.of == nil {
			w.of = make(map[*saveLock]chan struct{})
		}
		freed = make(chan struct{})
		w.of[&b.saving] = freed
	}
	return freed
}

func (b *box) endSaving() {
	if b.saving.state.CompareAndSwap(saveHeld, saveFree) {
		return
	}
	w := &b.g.saves
	w.mu.Lock()
	defer w.mu.Unlock()
	b.saving.state.Store(saveFree)
	if freed := w.of[&b.saving]; freed != nil {
		delete(w.of, &b.saving)
		close(freed)
	}
}
