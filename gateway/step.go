package gateway

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ramen/link"
	"ramen/protocol"
	"ramen/store"
)

// step is what one write does to one mailbox. A step whose outcome the store could not tell stays with its mailbox as
// unsure, and is written again, before and with the mailbox's next step, until the store answers: the same entries at the
// same positions, so that it happens once however often it is written. Undoing it instead could lose what it replaces.
type step struct {
	box   *mailbox
	prior []*step // unsure ones, oldest first
	ops   []*op   // with something to write
	twins []*op   // of what is being written: publishes of an id, duplicates once it is durable; recalls of what is killed
	added []*entry
	kills []kill
	// carried is what the store may still have of the keys of added and kills, and memory has not: killed with them.
	carried []leftover
	freed   room                   // by the kills, of the unsure steps too
	fresh   map[collapseKey]*entry // the newest of each key among added, unsure ones included; nil until there is one
}

// kill is an entry that a step replaces or recalls.
type kill struct {
	entry *entry
	why   fate
}

// maxUnsure and maxUnsureBytes bound what of unknown outcome a mailbox keeps before it takes more: all of it is written
// again with each step.
const (
	maxUnsure      = 1000 // entries and kills
	maxUnsureBytes = 256 << 10
)

// addLocked takes one op into the step, or answers it at once.
func (s *step) addLocked(o *op) {
	switch {
	case s.box.gone:
		o.reject(link.ErrNotOwner)
	case o.publish != nil:
		s.publishLocked(o)
	case o.recall != "":
		s.recallLocked(o)
	}
}

func (s *step) publishLocked(o *op) {
	b, g, p := s.box, s.box.g, o.publish
	nowMS := g.nowMS()
	o.hash = hashID(&g.identity.Key, p.Message.ID)
	if until, ok := b.seen.get(o.hash); ok && (until == pending || until > nowMS) {
		o.result.Status = link.StatusDuplicate
		if until == pending {
			s.twins = append(s.twins, o)
		}
		return
	}
	e := newEntry(p, nowMS)
	victim := s.victimLocked(e, nowMS)
	if err := s.admitLocked(e, victim); err != nil {
		o.reject(err)
		return
	}
	e.pos = protocol.Position{Epoch: b.epoch, Micros: g.nextMicros()}
	if victim != nil {
		s.killLocked(victim, fateCollapsed)
	}
	s.carryLocked(e)
	b.rememberLocked(o.hash, pending)
	o.entry = e
	s.added = append(s.added, e)
	s.freshen(e)
	s.ops = append(s.ops, o)
}

// newEntry is what a publish makes: the entry, and its own copy of the message, in one piece of memory.
func newEntry(p *link.Publish, nowMS int64) *entry {
	both := &struct {
		entry
		message protocol.Message
	}{message: *p.Message}
	both.message.CreatedMS, both.message.ExpiresMS = nowMS, nowMS+p.TTLMS
	both.entry = entry{msg: &both.message, device: p.Device, where: p.Where, quota: int32(quotaBytes(&both.message, p.Where))}
	return &both.entry
}

// admitLocked takes room in the mailbox, if the store takes more.
func (s *step) admitLocked(e, victim *entry) error {
	if n := s.unsureCount(); n >= maxUnsure || s.box.unsured.Load() >= maxUnsureBytes {
		return protocol.Errorf(protocol.CodeUnavailable, "the outcome of %d messages for this user is unknown; try again once the store answers", n)
	}
	if n := len(s.box.seen.until); n >= maxIDs {
		return protocol.Errorf(protocol.CodeResourceExhausted, "%d message ids of this user are remembered, the most there may be; publish less often", n)
	}
	if err := s.box.g.admit(e.msg.Priority); err != nil {
		return err
	}
	freed := s.freed
	if victim != nil {
		freed.add(victim)
	}
	return s.box.reserveLocked(e, freed)
}

func (s *step) killLocked(e *entry, why fate) {
	e.killed = true
	s.kills = append(s.kills, kill{e, why})
	s.freed.add(e)
}

func (r *room) add(e *entry) {
	r.count++
	r.bytes += int64(e.quota)
	r.held += int64(e.size)
}

func (s *step) recallLocked(o *op) {
	e := s.addedID(o.recall)
	if e == nil {
		e = s.box.findLocked(o.recall)
	}
	if e == nil || e.msg.ExpiresMS <= s.box.g.nowMS() {
		return
	}
	o.entry = e
	if e.killed { // whether it is gone is known once that is durable
		s.twins = append(s.twins, o)
		return
	}
	s.killLocked(e, fateRecalled)
	s.carryLocked(e)
	s.ops = append(s.ops, o)
}

// victimLocked is the older message that e replaces: of this write, or in the mailbox. SPEC 9.
func (s *step) victimLocked(e *entry, nowMS int64) *entry {
	if e.msg.CollapseKey == "" {
		return nil
	}
	key := e.collapseKey()
	if a := s.fresh[key]; a != nil {
		if a.killed {
			return nil
		}
		return a
	}
	var old *entry
	if l := s.box.lanes; l != nil {
		old = l.collapse[key]
	}
	if old == nil || old.killed {
		return nil
	}
	if old.msg.ExpiresMS <= nowMS {
		s.box.expireLocked(old) // lost to time, not replaced
		return nil
	}
	return old
}

// freshen notes e, which is being added, for what may replace it.
func (s *step) freshen(e *entry) {
	if e.msg.CollapseKey == "" {
		return
	}
	if s.fresh == nil {
		s.fresh = make(map[collapseKey]*entry)
	}
	s.fresh[e.collapseKey()] = e
}

// addedID is the entry of this write with that id, unsure ones included; or nil.
func (s *step) addedID(id protocol.MessageID) *entry {
	for _, e := range s.added {
		if e.msg.ID == id {
			return e
		}
	}
	for _, p := range s.prior {
		for _, e := range p.added {
			if e.msg.ID == id {
				return e
			}
		}
	}
	return nil
}

// unsureCount is how many entries and kills of unknown outcome are written before this step.
func (s *step) unsureCount() (n int) {
	for _, p := range s.prior {
		n += len(p.added) + len(p.kills) + len(p.carried)
	}
	return n
}

// write makes w the step, and the unsure ones before it, for the store. The slices in w are used again.
func (s *step) write(w *store.Append) {
	w.Owner, w.User = s.box.owner(), s.box.user
	for _, p := range s.prior {
		p.writeTo(w)
	}
	s.writeTo(w)
}

func (s *step) writeTo(w *store.Append) {
	for _, e := range s.added {
		w.Entries = append(w.Entries, store.Entry{Position: e.pos, Message: e.msg, Device: e.device, Where: e.where})
	}
	for _, k := range s.kills {
		w.Kills = append(w.Kills, k.entry.ref())
	}
	for _, x := range s.carried {
		w.Kills = append(w.Kills, x.ref)
	}
}

// finish puts the step into effect once the store has answered, or takes it back, or keeps it as unsure.
func (s *step) finish(err error) {
	b := s.box
	if err == nil && !b.g.holdsLease() {
		err = fmt.Errorf("%w: the lease ended while the store was writing", store.ErrUnknown)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		s.goneLocked(err)
		return
	}
	if err != nil {
		s.failLocked(err)
		return
	}
	for _, p := range s.prior {
		p.applyLocked()
	}
	if len(s.prior) > 0 {
		b.trouble.unsure = nil
		b.calmLocked()
		b.unsured.Store(0)
		b.g.release(b)
	}
	s.applyLocked()
	b.trimLocked()
}

// applyLocked makes a durable step visible, and answers its ops.
func (s *step) applyLocked() {
	b := s.box
	for _, o := range s.ops {
		if o.publish == nil {
			o.found = !o.entry.dead
			continue
		}
		m := o.entry.msg
		b.rememberLocked(o.hash, max(m.CreatedMS+b.g.cfg.IDRetention.Milliseconds(), m.ExpiresMS))
		b.g.ledger.accepted.Add(1)
		o.result = link.Result{Status: link.StatusAccepted, Devices: b.insertLocked(o.entry)}
	}
	for _, k := range s.kills {
		if !k.entry.dead {
			b.removeLocked(k.entry, k.why)
		} else if k.entry.msg.CollapseKey != "" { // it left lazily meanwhile
			b.leftoverGoneLocked(leftover{k.entry.collapseKey(), k.entry.ref()})
		}
	}
	for _, x := range s.carried {
		b.leftoverGoneLocked(x)
	}
	for _, o := range s.twins {
		o.found = o.entry != nil && o.entry.ended == fateRecalled
	}
}

// goneLocked answers a step whose shard was given up while it was written. What the store has of it is the next owner's.
func (s *step) goneLocked(err error) {
	told := link.ErrLost
	if errors.Is(err, store.ErrFenced) {
		told = link.ErrNotOwner
	}
	for _, o := range s.twins {
		o.reject(told)
	}
	for _, o := range s.ops {
		o.reject(told)
	}
	for _, e := range s.added {
		s.box.releaseLocked(e)
	}
}

// unsureLocked are the writes with an unknown outcome, oldest first.
func (b *mailbox) unsureLocked() []*step {
	if b.trouble == nil {
		return nil
	}
	return b.trouble.unsure
}

// calmLocked ends the trouble that is over.
func (b *mailbox) calmLocked() {
	if len(b.trouble.unsure)+len(b.trouble.doubts) == 0 {
		b.trouble = nil
	}
}

// sureLocked gives up what is unsure: whatever became of it is for the next owner to see.
func (b *mailbox) sureLocked() {
	unsure := b.unsureLocked()
	if len(unsure) == 0 {
		return
	}
	for _, s := range unsure {
		for _, e := range s.added {
			b.releaseLocked(e)
		}
	}
	b.trouble.unsure = nil
	b.g.release(b)
}

// failLocked answers that the step did not happen, or that nobody knows yet.
func (s *step) failLocked(err error) {
	b := s.box
	told := b.g.storeAnswer(b.owner(), "append", err)
	for _, o := range s.twins {
		o.reject(told)
	}
	if unknown(err) && len(s.ops) > 0 {
		kept := &step{box: b, added: s.added, kills: s.kills, carried: s.carried}
		s.added, s.kills, s.carried = nil, nil, nil
		for _, o := range s.ops {
			kept.ops = append(kept.ops, &op{box: b, publish: o.publish, recall: o.recall, hash: o.hash, entry: o.entry})
			o.reject(told)
		}
		t := b.troubleLocked()
		if len(t.unsure) == 0 {
			b.g.pin(b)
		}
		t.unsure = append(slices.Clip(t.unsure), kept) // steps have the old ones
		for _, e := range kept.added {
			b.unsured.Add(e.quota)
		}
		b.sweepAgain(b.g.nowMS() + 1000)
		return
	}
	for _, k := range s.kills {
		k.entry.killed = false
	}
	for _, o := range s.ops {
		if o.publish != nil {
			b.dropLocked(o.hash)
			b.releaseLocked(o.entry)
		}
		o.reject(told)
	}
}

// unknown reports whether a write that was answered err may have happened.
func unknown(err error) bool {
	return errors.Is(err, store.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

func (o *op) reject(err error) {
	o.result = link.Result{Status: link.StatusRejected, Err: err}
}
