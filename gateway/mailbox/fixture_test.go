package mailbox_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"ramen/gateway/mailbox"
	"ramen/gateway/mailbox/mailboxtest"
	"ramen/protocol"
	"ramen/store"
)

const (
	user      = protocol.UserID("alice")
	retention = 5 * time.Minute
	startMS   = 1_700_000_000_000
)

// fixture does the same to a mailbox and to the model, at a time of its own, and compares.
type fixture struct {
	t       testing.TB
	source  *mailboxtest.Source
	log     []string
	x       *mailboxtest.Model
	disk    *disk
	common  *mailbox.Common
	epoch   protocol.Epoch
	b       *mailbox.Mailbox
	dueMS   int64 // as the last notice has it
	noticed bool  // that there is something to save
	step    *mailbox.Step
	answer  mailboxtest.Answer                         // to the step, once it comes
	asked   []*asked                                   // of the step
	windows map[string]*mailbox.Window                 // of devices online
	opened  map[string]mailbox.Opened                  // by the hello of the latest socket
	number  map[string]protocol.StreamNumber           // of the latest stream
	pushed  map[string]int                             // on the latest socket
	places  map[protocol.Position]*mailboxtest.Message // of all that was written
	steps   int                                        // made
	replica *disk                                      // what a replica has; nil: nothing
}

// asked is an op of a step, and what it is to be answered.
type asked struct {
	op    *mailbox.Op
	want  mailbox.Status  // where the step is applied
	model *mailboxtest.Op // nil: nothing is done
}

func newFixture(t testing.TB, data []byte) *fixture {
	f := &fixture{t: t, source: mailboxtest.NewSource(data), disk: newDisk(), x: mailboxtest.New(startMS, retention),
		opened: make(map[string]mailbox.Opened), number: make(map[string]protocol.StreamNumber), pushed: make(map[string]int),
		places: make(map[protocol.Position]*mailboxtest.Message)}
	f.start()
	f.load()
	return f
}

func (f *fixture) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fixture) fatal(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("%s\nafter %v\nmodel:\n%v", fmt.Sprintf(format, args...), f.log[max(0, len(f.log)-40):], f.x)
}

// run does what the source draws.
func (f *fixture) run() {
	for a := f.source.Next(f.x); a != nil; a = f.source.Next(f.x) {
		f.act(a)
		f.deliver()
		f.compare()
	}
	f.finish()
	f.deliver()
	f.compare()
	f.move()
	f.compare()
}

func (f *fixture) act(a mailboxtest.Act) {
	f.note("%T%+v", a, a)
	switch a := a.(type) {
	case mailboxtest.Write:
		f.write(a)
	case mailboxtest.Ack:
		f.ack(a)
	case mailboxtest.AckBeside:
		f.ackBeside(a)
	case mailboxtest.Open:
		f.open(a)
	case mailboxtest.Close:
		f.x.Close(f.x.Device(a.Device))
		f.detach(a.Device)
	case mailboxtest.Reopen:
		f.reopen(a)
	case mailboxtest.Refresh:
		f.refresh(a)
	case mailboxtest.Advance:
		f.advance(a.By)
	case mailboxtest.Save:
		f.save(a.Fails)
	case mailboxtest.ForgetUnseen:
		f.forgetUnseen(a.Ago)
	case mailboxtest.Restart:
		f.restart(a)
	case mailboxtest.Copy:
		f.finish()
		f.replica = f.disk.clone()
	case mailboxtest.Lose:
		f.lose()
	default:
		f.fatal("unknown act")
	}
}

// write makes a step, and finishes it at once or leaves it under way.
func (f *fixture) write(w mailboxtest.Write) {
	f.finish()
	f.deliver()
	f.begin()
	f.answer = w.Answer
	for _, r := range w.Requests {
		if r.Message != nil {
			f.publish(r.Message)
		} else {
			f.recall(r.Recall)
		}
	}
	if !w.Late {
		f.finish()
	}
}

func (f *fixture) begin() {
	f.steps++
	f.step, f.answer = new(mailbox.Step), mailboxtest.Done
	f.step.Begin(f.b)
}

func (f *fixture) publish(m *mailboxtest.Message) {
	o := &mailbox.Op{Message: &protocol.Message{ID: protocol.MessageID(m.ID), Priority: protocol.LanePriority(m.Lane), CollapseKey: m.Key, Payload: []byte(`1`)},
		Device: protocol.DeviceID(m.Device), TTLMS: m.TTL.Milliseconds(), Where: m.Where}
	f.note("%+v", *m)
	a := &asked{op: o, want: mailbox.StatusDuplicate}
	f.asked = append(f.asked, a)
	isNew := f.step.IsNew(o, f.x.NowMS)
	if known := f.x.Knows(m.ID); isNew == (known || f.x.Writes(m.ID)) || known && o.Status != mailbox.StatusDuplicate {
		f.fatal("%s is new: %v, and %d", m.ID, isNew, o.Status)
	}
	if a.model = f.x.Publish(m); a.model != nil {
		f.step.Publish(o, mailbox.Instant{MS: f.x.NowMS, Micros: uint64(f.x.NowMS) * 1000})
		a.want, a.model.Step = mailbox.StatusAccepted, f.steps
	}
}

func (f *fixture) recall(id string) {
	a := &asked{op: &mailbox.Op{Recall: protocol.MessageID(id)}}
	f.asked = append(f.asked, a)
	f.step.Recall(a.op, f.x.NowMS)
	if a.model = f.x.Recall(id); a.model != nil {
		a.model.Step = f.steps
	}
}

// store has the store do what is under way, whatever it answers.
func (f *fixture) store() {
	if f.step.IsEmpty() {
		return
	}
	var w store.Append
	f.step.WriteTo(&w)
	for !f.disk.append(&w, f.x.NowMS) {
		if f.resolve(); f.step.IsEmpty() {
			return
		}
		w = store.Append{}
		f.step.WriteTo(&w)
	}
	f.x.Stored()
	for _, o := range f.x.Pending() {
		if !o.Recall {
			o.At = w.Entries[0].Position
			f.places[o.At] = o.Message
			w.Entries = w.Entries[1:]
		}
	}
}

// resolve has the mailbox find in the store what was in doubt, or write again what the store has lost.
func (f *fixture) resolve() {
	last, step := f.disk.last, 0
	for _, o := range f.x.Pending() {
		if !o.Recall && o.At == last && o.Stored {
			step = o.Step
		}
	}
	found, resolved := f.step.Find(last, f.x.NowMS)
	switch {
	case found == mailbox.FoundAll:
		f.fatal("found all of a step that was not written")
	case found == mailbox.FoundPrior:
		f.note("found %d", step)
		i := slices.IndexFunc(f.x.InDoubt, func(o *mailboxtest.Op) bool { return o.Step > step })
		if i < 0 {
			i = len(f.x.InDoubt)
		}
		for _, o := range f.x.InDoubt[:i] {
			f.x.ApplyOp(o)
		}
		f.x.InDoubt = f.x.InDoubt[i:]
		if resolved != (i > 0 && len(f.x.InDoubt) == 0) || step == 0 || f.b.Last() != last {
			f.fatal("resolved %v, %d are left, step %d, last %v", resolved, len(f.x.InDoubt), step, f.b.Last())
		}
	case step > 0 || !last.Less(f.b.Last()):
		f.fatal("the store has %v, memory %v; found nothing of step %d", last, f.b.Last(), step)
	default:
		f.replaceStored()
	}
}

// replaceStored has the store take all of the mailbox.
func (f *fixture) replaceStored() {
	f.note("replace")
	f.disk.replace(f.b.Contents(f.x.NowMS))
	f.x.Save(f.x.Devices...)
}

// lose sets the store back to what a replica had, and has its owner find out.
func (f *fixture) lose() {
	if f.replica == nil {
		return
	}
	f.finish()
	f.deliver()
	f.disk = f.replica
	f.replica = nil
	for alone := false; !alone; { // what is in doubt is written first
		f.begin()
		f.step.Probe()
		alone = f.step.ProbesAlone()
		f.finish()
		f.deliver()
	}
	if !f.b.Marked() {
		f.replaceStored()
	}
}

// finish has the store answer what is under way.
func (f *fixture) finish() {
	s := f.step
	if s == nil {
		return
	}
	told := protocol.Errorf(protocol.CodeUnavailable, "the store")
	answer := f.answer
	rejected := true
	empty := s.IsEmpty()
	if answer == mailboxtest.UnknownDone {
		if f.store(); s.IsEmpty() { // all of it was found in the store
			answer = mailboxtest.Done
		}
	}
	switch {
	case empty:
		rejected = false
		f.x.Undo()
	case answer == mailboxtest.UnknownDone || answer == mailboxtest.UnknownLost:
		f.keepInDoubt(s, told)
	case answer == mailboxtest.Failed:
		s.Undo(told)
		f.x.Undo()
	default:
		f.store()
		if answer == mailboxtest.DoneTwice && !s.IsEmpty() {
			f.findWritten(s)
		}
		doubted := len(f.x.InDoubt) > 0
		if resolved := s.Apply(f.x.NowMS); resolved != doubted {
			f.fatal("resolved %v, in doubt before %v", resolved, doubted)
		}
		f.x.Apply()
		rejected = false
	}
	for _, a := range f.asked {
		f.answered(a, rejected)
	}
	s.Reset()
	f.step, f.asked = nil, nil
}

func (f *fixture) keepInDoubt(s *mailbox.Step, told *protocol.Error) {
	doubted := len(f.x.InDoubt) > 0
	if !f.adds(s) {
		f.x.Undo() // recalls of what is killed in doubt are no more than that
	}
	if first := s.KeepInDoubt(told); first == doubted && len(f.x.UnderWay) > 0 {
		f.fatal("first in doubt: %v", first)
	}
	f.x.Doubt()
}

// adds reports whether s writes anything but what is in doubt before it.
func (f *fixture) adds(s *mailbox.Step) bool {
	var all, before store.Append
	s.WriteTo(&all)
	prior := new(mailbox.Step)
	prior.Begin(f.b)
	prior.WriteTo(&before)
	return len(all.Entries)+len(all.Kills) > len(before.Entries)+len(before.Kills)
}

// findWritten has a step that the store has done be found there.
func (f *fixture) findWritten(s *mailbox.Step) {
	var again store.Append
	s.WriteTo(&again)
	if len(again.Entries) == 0 || f.x.UnderWay == nil || f.x.UnderWay[len(f.x.UnderWay)-1].Recall {
		return
	}
	if found, _ := s.Find(f.disk.last, f.x.NowMS); found != mailbox.FoundAll {
		f.fatal("found %d of a step that was written", found)
	}
}

func (f *fixture) answered(a *asked, rejected bool) {
	got, want := a.op.Outcome, mailbox.Outcome{Status: a.want}
	switch {
	case a.model != nil && rejected:
		want.Status = mailbox.StatusRejected
	case a.model != nil:
		want.Devices, want.Found = a.model.Devices, a.model.Found
	case rejected && got.Status == mailbox.StatusRejected: // of one that was being written
		want.Status = mailbox.StatusRejected
	}
	if got.Err = nil; got != want {
		f.fatal("%s%s is answered %+v; want %+v", messageID(a.op), a.op.Recall, got, want)
	}
}

func messageID(o *mailbox.Op) protocol.MessageID {
	if o.Message == nil {
		return ""
	}
	return o.Message.ID
}
