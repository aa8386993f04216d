package mailbox

import (
	"slices"

	"ramen/protocol"
	"ramen/store"
)

// Step is what one write to the store does to one mailbox. Its operations are added, it is written, and then applied or undone by the
// store's answer. If the outcome is unknown, the step stays with its mailbox, in doubt, and is written again with the mailbox's next
// step, in front of it, until the store answers: the same entries at the same positions, so that it takes effect once. Undoing it
// instead could lose the messages that it replaces.
type Step struct {
	box        *Mailbox
	prior      []*Step // in doubt, oldest first
	ops        []*Op   // those that write something
	duplicates []*Op   // answered with the step: publishes of an id that is being written, and recalls of an entry that is being killed
	added      []*entry
	kills      []kill
	// carried are leftovers of the keys of added and kills: killed in the same write.
	carried     []leftover
	freed       usage                  // by the kills, those of steps in doubt included
	latestByKey map[collapseKey]*entry // by key: the newest of added, those of steps in doubt included; nil until there is one
	probe       bool                   // the step asks for the store's last position, whatever else it writes
}

// kill is an entry that a step collapses or recalls.
type kill struct {
	entry *entry
	why   Removal
}

// Op is a publish if it has a Message, else a recall if it has a Recall. One with neither has the steps in doubt written again.
type Op struct {
	Message *protocol.Message // CreatedMS and ExpiresMS are set on a copy
	Device  protocol.DeviceID // empty: every device of the user
	Where   map[string]string // only devices whose context has these values
	TTLMS   int64
	Recall  protocol.MessageID

	Outcome
	hash  idHash
	entry *entry // that a publish adds or a recall kills; nil: nothing is written
}

// Outcome is the result of an Op.
type Outcome struct {
	Status  Status
	Err     error // of StatusRejected
	Devices int   // of StatusAccepted: the number of known devices that the message is for
	Found   bool  // of a recall: there was such a message
}

// Status is the result of a publish.
type Status uint8

// The statuses.
const (
	StatusNone Status = iota // of a recall
	StatusAccepted
	StatusDuplicate
	StatusRejected
)

// Reject sets the outcome of o to err.
func (o *Op) Reject(err error) { o.Outcome = Outcome{Status: StatusRejected, Err: err} }

// Instant is one moment by the clock of expiry and by that of positions.
type Instant struct {
	MS     int64  // Unix ms by the wall clock
	Micros uint64 // the wall clock when the process started plus monotonic time since, in µs
}

// A mailbox with so much in doubt takes no more: all of it is written again with each step.
const (
	maxInDoubt      = 1000 // entries and kills
	maxInDoubtBytes = 256 << 10
)

// Begin makes s the next step of b, behind the steps in doubt.
func (s *Step) Begin(b *Mailbox) {
	s.box, s.prior = b, b.inDoubt()
	for _, p := range s.prior {
		for _, e := range p.added {
			s.indexLatest(e)
		}
		for _, k := range p.kills {
			if !k.entry.dead { // else it is uncounted already
				s.freed.add(k.entry)
			}
		}
	}
}

// IsEmpty reports whether there is nothing to write.
func (s *Step) IsEmpty() bool { return len(s.ops)+len(s.prior) == 0 && !s.probe }

// Probe makes the step ask the store whether its last position is that of the mailbox, even if it writes nothing.
func (s *Step) Probe() { s.probe = true }

// ProbesAlone reports whether the step probes and writes nothing.
func (s *Step) ProbesAlone() bool { return s.probe && len(s.ops)+len(s.prior) == 0 }

// IsNew reports whether the publish o can be added to the step. Otherwise it sets the outcome: a duplicate, or too much for the mailbox.
func (s *Step) IsNew(o *Op, nowMS int64) bool {
	b := s.box
	o.hash = b.scope.hash(o.Message.ID)
	if until, ok := b.dedup.get(o.hash); ok && (until == pending || until > nowMS) {
		o.Status = StatusDuplicate
		if until == pending {
			s.duplicates = append(s.duplicates, o)
		}
		return false
	}
	if len(s.prior) > 0 {
		if n := s.countInDoubt(); n >= maxInDoubt || b.InDoubtBytes() >= maxInDoubtBytes {
			o.Reject(protocol.Errorf(protocol.CodeUnavailable, "the outcome of %d messages for this user is unknown; try again once the store answers", n))
			return false
		}
	}
	if n := len(b.dedup.until); n >= maxIDs {
		o.Reject(protocol.Errorf(protocol.CodeResourceExhausted, "%d message ids of this user are remembered, which is the limit; publish less often", n))
		return false
	}
	return true
}

// Publish adds a publish for which IsNew was true, or rejects it.
func (s *Step) Publish(o *Op, now Instant) {
	b := s.box
	e := newEntry(o, now.MS)
	victim, freed := s.victim(e, now.MS), s.freed
	if victim != nil {
		freed.add(victim)
	}
	if err := b.reserve(e, freed, now.MS); err != nil {
		o.Reject(err)
		return
	}
	e.pos = protocol.Position{Epoch: b.scope.Owner.Epoch, Micros: b.scope.Positions.next(now.Micros)}
	if victim != nil {
		s.kill(victim, Collapsed)
	}
	s.carry(e)
	b.remember(o.hash, pending)
	b.marked = true // what else is written from now on may come to the store behind it
	o.entry = e
	s.added = append(s.added, e)
	s.indexLatest(e)
	s.ops = append(s.ops, o)
}

// newEntry makes the entry of a publish, with its own copy of the message, in one allocation.
func newEntry(o *Op, nowMS int64) *entry {
	both := &struct {
		entry
		message protocol.Message
	}{message: *o.Message}
	both.message.CreatedMS, both.message.ExpiresMS = nowMS, nowMS+o.TTLMS
	both.entry = entry{msg: &both.message, device: o.Device, where: o.Where, quota: int32(QuotaBytes(&both.message, o.Where))}
	return &both.entry
}

func (s *Step) kill(e *entry, why Removal) {
	e.killed = true
	s.kills = append(s.kills, kill{e, why})
	s.freed.add(e)
}

// Recall adds a recall, unless there is no such message: then o keeps the outcome not found.
func (s *Step) Recall(o *Op, nowMS int64) {
	e := s.addedID(o.Recall)
	if e == nil {
		e = s.box.find(o.Recall)
	}
	if e == nil || e.msg.ExpiresMS <= nowMS {
		return
	}
	o.entry = e
	if e.killed { // another operation kills it: its outcome decides
		s.duplicates = append(s.duplicates, o)
		return
	}
	s.kill(e, Recalled)
	s.carry(e)
	s.ops = append(s.ops, o)
}

// victim returns the older message that e replaces, of this write or in the mailbox, or nil. SPEC 9.3.1.
func (s *Step) victim(e *entry, nowMS int64) *entry {
	if e.msg.CollapseKey == "" {
		return nil
	}
	key := e.collapseKey()
	if a := s.latestByKey[key]; a != nil {
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
		s.box.expire(old) // it expired before it was replaced
		return nil
	}
	return old
}

// indexLatest makes e the newest entry of its key.
func (s *Step) indexLatest(e *entry) {
	if e.msg.CollapseKey == "" {
		return
	}
	if s.latestByKey == nil {
		s.latestByKey = make(map[collapseKey]*entry)
	}
	s.latestByKey[e.collapseKey()] = e
}

// addedID returns the entry of this write with that id, those of steps in doubt included, or nil.
func (s *Step) addedID(id protocol.MessageID) *entry {
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

// countInDoubt is the number of entries and kills of the steps in doubt.
func (s *Step) countInDoubt() (n int) {
	for _, p := range s.prior {
		n += len(p.added) + len(p.kills) + len(p.carried)
	}
	return n
}

// WriteTo sets w to the steps in doubt and this one, and reuses the slices in w. Last is the position from before the steps in doubt, so
// that a store that compares it applies them once.
func (s *Step) WriteTo(w *store.Append) {
	w.Owner, w.User, w.Last = s.box.scope.Owner, s.box.user, s.box.last
	for _, p := range s.prior {
		p.write(w)
	}
	s.write(w)
}

func (s *Step) write(w *store.Append) {
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

// Apply applies the steps in doubt and this one, which are accepted now: the store has them durably. resolved reports whether there were steps in doubt.
func (s *Step) Apply(nowMS int64) (resolved bool) {
	b := s.box
	for _, p := range s.prior {
		p.apply(nowMS)
	}
	if resolved = len(s.prior) > 0; resolved {
		b.endInDoubt()
	}
	s.apply(nowMS)
	b.trim()
	return resolved
}

func (s *Step) apply(nowMS int64) {
	b := s.box
	for _, o := range s.ops {
		if o.Message == nil {
			o.Found = !o.entry.dead
			continue
		}
		m := o.entry.msg
		b.accept(o.hash, m, nowMS)
		b.scope.Ledger.Accepted.Add(1)
		o.Outcome = Outcome{Status: StatusAccepted, Devices: b.insert(o.entry)}
	}
	for _, k := range s.kills {
		if !k.entry.dead {
			b.remove(k.entry, k.why)
		} else if k.entry.msg.CollapseKey != "" { // acked or expired meanwhile
			b.dropLeftover(leftover{k.entry.collapseKey(), k.entry.ref()})
		}
	}
	for _, x := range s.carried {
		b.dropLeftover(x)
	}
	if n := len(s.added); n > 0 {
		b.last = s.added[n-1].pos
	} else if len(s.kills) > 0 {
		b.marked = false
	}
	for _, o := range s.duplicates {
		o.Found = o.entry != nil && o.entry.removal == Recalled
	}
}

// Found tells how much of a step, and of the steps in doubt before it, a store has.
type Found uint8

// The values of Found.
const (
	FoundNothing Found = iota
	FoundPrior         // some of what is in doubt before the step
	FoundAll           // the step, and so all before it
)

// Find tells how much of s, and of the steps in doubt before it, a store with the last position last has. It applies the steps in doubt
// that the store has; the rest of s has to be written again. resolved reports whether no step is in doubt any more.
func (s *Step) Find(last protocol.Position, nowMS int64) (f Found, resolved bool) {
	if n := len(s.added); n > 0 && s.added[n-1].pos == last {
		return FoundAll, false
	}
	b := s.box
	for i := len(s.prior) - 1; i >= 0; i-- {
		if n := len(s.prior[i].added); n == 0 || s.prior[i].added[n-1].pos != last {
			continue
		}
		for _, p := range s.prior[:i+1] { // each was written with those before it
			p.apply(nowMS)
		}
		s.prior = s.prior[i+1:]
		b.keepInDoubt(s.prior)
		b.trim()
		return FoundPrior, len(s.prior) == 0
	}
	return FoundNothing, false
}

// Undo takes the step back, which the store has refused, and rejects its ops with told. The steps in doubt stay.
func (s *Step) Undo(told error) {
	s.reject(told)
	b := s.box
	b.marked = false
	for _, k := range s.kills {
		k.entry.killed = false
	}
	for _, o := range s.ops {
		if o.Message != nil {
			b.drop(o.hash)
			b.leave(o.entry)
		}
	}
}

// KeepInDoubt keeps the step with its mailbox, since its outcome is unknown, and rejects its ops with told. first reports whether it is
// the only one in doubt.
func (s *Step) KeepInDoubt(told error) (first bool) {
	b := s.box
	if len(s.ops) == 0 {
		s.reject(told)
		return false
	}
	kept := &Step{box: b, added: s.added, kills: s.kills, carried: s.carried}
	for _, o := range s.ops {
		kept.ops = append(kept.ops, &Op{Message: o.Message, Recall: o.Recall, hash: o.hash, entry: o.entry})
	}
	s.reject(told)
	s.added, s.kills, s.carried = nil, nil, nil
	b.marked = false
	r := b.makeRecovery()
	first = len(r.inDoubt) == 0
	for _, e := range kept.added {
		r.bytes += int64(e.quota)
	}
	r.inDoubt = append(slices.Clip(r.inDoubt), kept) // other steps have the old slice as prior
	return first
}

// Abandon ends a step of a mailbox that is no longer owned. The next owner loads what the store has of it.
func (s *Step) Abandon(told error) {
	s.reject(told)
	s.box.makeRecovery().abandoned = true
	for _, e := range s.added {
		s.box.leave(e)
	}
}

func (s *Step) reject(told error) {
	for _, o := range s.duplicates {
		o.Reject(told)
	}
	for _, o := range s.ops {
		o.Reject(told)
	}
}

// keptStep is the largest capacity of a step that is reused, so that a burst does not keep memory.
const keptStep = 128

// Reset clears the step for another mailbox, and reports whether to reuse it.
func (s *Step) Reset() bool {
	clear(s.ops)
	clear(s.duplicates)
	clear(s.added)
	clear(s.kills)
	clear(s.carried)
	if len(s.latestByKey) > keptStep {
		s.latestByKey = nil
	}
	clear(s.latestByKey)
	*s = Step{
		latestByKey: s.latestByKey, ops: s.ops[:0], duplicates: s.duplicates[:0],
		added: s.added[:0], kills: s.kills[:0], carried: s.carried[:0],
	}
	return max(cap(s.ops), cap(s.kills), cap(s.duplicates), cap(s.carried)) <= keptStep
}
