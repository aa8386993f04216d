package mailbox

import (
	"slices"

	"ramen/protocol"
	"ramen/store"
)

// Step is what one write to the store does to one mailbox: first each of its operations is added, then it is written, and then its
// outcome put into effect. A step whose outcome the store could not tell stays with its mailbox, in doubt, and is written again,
// before and with the mailbox's next step, until the store answers: the same entries at the same positions, so that it happens once
// however often it is written. Undoing it instead could lose what it replaces.
type Step struct {
	box        *Mailbox
	prior      []*Step // in doubt, oldest first
	ops        []*Op   // with something to write
	duplicates []*Op   // of what is being written: publishes of an id, duplicates once it is durable; recalls of what is killed
	added      []*entry
	kills      []kill
	// carried is what the store may still have of the keys of added and kills, and memory has not: killed with them.
	carried     []leftover
	freed       room                   // by the kills, of the steps in doubt too
	latestByKey map[collapseKey]*entry // the newest of each key among added, those in doubt included; nil until there is one
	probe       bool                   // it asks the store for its last position, whatever else it writes
}

// kill is an entry that a step replaces or recalls.
type kill struct {
	entry *entry
	why   Removal
}

// Op is one publish, where it has a message; or one recall; or neither, so that what is in doubt is written again.
type Op struct {
	Message *protocol.Message // CreatedMS and ExpiresMS are set on a copy
	Device  protocol.DeviceID // empty: every device of the user
	Where   map[string]string // only devices whose context has these values
	TTLMS   int64
	Recall  protocol.MessageID

	Outcome
	hash  idHash
	entry *entry // what was made of a publish, or is to be recalled; nil where nothing is written for it
}

// Outcome is what became of an Op.
type Outcome struct {
	Status  Status
	Err     error // where rejected
	Devices int   // accepted: the known devices that it is for
	Found   bool  // a recall found its message
}

// Status is what became of a publish.
type Status uint8

// The statuses.
const (
	StatusNone Status = iota // of a recall
	StatusAccepted
	StatusDuplicate
	StatusRejected
)

// Reject answers o with err.
func (o *Op) Reject(err error) { o.Outcome = Outcome{Status: StatusRejected, Err: err} }

// Instant is a moment as positions and expiry see it.
type Instant struct {
	MS     int64  // Unix ms by the wall clock
	Micros uint64 // the wall clock when the process started plus monotonic time since, in µs
}

// maxInDoubt and maxInDoubtBytes bound what a mailbox keeps in doubt before it takes more: all of it is written again with each step.
const (
	maxInDoubt      = 1000 // entries and kills
	maxInDoubtBytes = 256 << 10
)

// Begin makes s the next step of b, behind what is in doubt of it.
func (s *Step) Begin(b *Mailbox) {
	s.box, s.prior = b, b.inDoubt()
	for _, p := range s.prior {
		for _, e := range p.added {
			s.indexLatest(e)
		}
		for _, k := range p.kills {
			if !k.entry.dead { // else its room is free already
				s.freed.add(k.entry)
			}
		}
	}
}

// IsEmpty reports that there is nothing to write.
func (s *Step) IsEmpty() bool { return len(s.ops)+len(s.prior) == 0 && !s.probe }

// Probe has the step ask the store whether its last position is that of the mailbox, even where it has nothing else to write.
func (s *Step) Probe() { s.probe = true }

// ProbesAlone reports that the step asks and writes nothing.
func (s *Step) ProbesAlone() bool { return s.probe && len(s.ops)+len(s.prior) == 0 }

// IsNew reports whether o may be added to the step. Otherwise it is answered: a duplicate, or more than the mailbox takes.
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

// Publish adds a publish for which IsNew, or rejects it.
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

// newEntry is what a publish makes: the entry, and its own copy of the message, in one piece of memory.
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

// Recall adds a recall, or answers that there is nothing to recall.
func (s *Step) Recall(o *Op, nowMS int64) {
	e := s.addedID(o.Recall)
	if e == nil {
		e = s.box.find(o.Recall)
	}
	if e == nil || e.msg.ExpiresMS <= nowMS {
		return
	}
	o.entry = e
	if e.killed { // whether it is gone is known once that is durable
		s.duplicates = append(s.duplicates, o)
		return
	}
	s.kill(e, Recalled)
	s.carry(e)
	s.ops = append(s.ops, o)
}

// victim is the older message that e replaces: of this write, or in the mailbox. SPEC 9.
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
		s.box.expire(old) // lost to time, not replaced
		return nil
	}
	return old
}

// indexLatest notes e, which is being added, for what may replace it.
func (s *Step) indexLatest(e *entry) {
	if e.msg.CollapseKey == "" {
		return
	}
	if s.latestByKey == nil {
		s.latestByKey = make(map[collapseKey]*entry)
	}
	s.latestByKey[e.collapseKey()] = e
}

// addedID is the entry of this write with that id, those in doubt included; or nil.
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

// countInDoubt is how many entries and kills in doubt are written before this step.
func (s *Step) countInDoubt() (n int) {
	for _, p := range s.prior {
		n += len(p.added) + len(p.kills) + len(p.carried)
	}
	return n
}

// WriteTo makes w the step, and those in doubt before it, for the store. The slices in w are used again. Last is that of before what is
// in doubt: a store that compares does it once, however often it is written.
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

// Apply puts the step, and those in doubt before it, into effect: the store has it durably. settled reports that nothing is in doubt
// any more that was.
func (s *Step) Apply() (settled bool) {
	b := s.box
	for _, p := range s.prior {
		p.apply()
	}
	if settled = len(s.prior) > 0; settled {
		b.endInDoubt()
	}
	s.apply()
	b.trim()
	return settled
}

func (s *Step) apply() {
	b := s.box
	for _, o := range s.ops {
		if o.Message == nil {
			o.Found = !o.entry.dead
			continue
		}
		m := o.entry.msg
		b.remember(o.hash, max(b.scope.retainedMS(m.CreatedMS), m.ExpiresMS))
		b.scope.Ledger.Accepted.Add(1)
		o.Outcome = Outcome{Status: StatusAccepted, Devices: b.insert(o.entry)}
	}
	for _, k := range s.kills {
		if !k.entry.dead {
			b.remove(k.entry, k.why)
		} else if k.entry.msg.CollapseKey != "" { // it left lazily meanwhile
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

// Found is what of a step a store has.
type Found uint8

// What may be found.
const (
	FoundNothing Found = iota
	FoundPrior         // some of what is in doubt before the step
	FoundAll           // the step, and so all before it
)

// Find says what of s and of what is in doubt before it the store has, whose last position last is, and puts into effect what is of
// before it: a write that was answered unknown has happened. What is left of s is to be written again. settled is as Apply has it.
func (s *Step) Find(last protocol.Position) (f Found, settled bool) {
	if n := len(s.added); n > 0 && s.added[n-1].pos == last {
		return FoundAll, false
	}
	b := s.box
	for i := len(s.prior) - 1; i >= 0; i-- {
		if n := len(s.prior[i].added); n == 0 || s.prior[i].added[n-1].pos != last {
			continue
		}
		for _, p := range s.prior[:i+1] { // each was written with those before it
			p.apply()
		}
		s.prior = s.prior[i+1:]
		b.keepInDoubt(s.prior)
		b.trim()
		return FoundPrior, len(s.prior) == 0
	}
	return FoundNothing, false
}

// Undo takes the step back: the store has not done it. Those in doubt before it stay.
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

// KeepInDoubt keeps the step with its mailbox: nobody knows whether the store has done it. first reports that nothing was in doubt.
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
	r.inDoubt = append(slices.Clip(r.inDoubt), kept) // steps have the old ones
	return first
}

// Abandon ends a step of a mailbox that is no longer owned. What the store has of it is the next owner's to see.
func (s *Step) Abandon(told error) {
	s.reject(told)
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

// keptStep is the most ops that a step has room for while it is not in use: a burst must not hold memory for ever.
const keptStep = 128

// Reset makes the step ready for another mailbox, and reports whether it is worth keeping.
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
