package mailbox_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"ramen/gateway/mailbox"
	"ramen/protocol"
	"ramen/store"
)

const (
	user      = protocol.UserID("alice")
	retention = 5 * time.Minute
	startMS   = 1_700_000_000_000
)

// fixture does the same to a mailbox and to the model, at a time of its own, and compares. What it does is drawn from data.
type fixture struct {
	t       testing.TB
	data    []byte
	log     []string
	x       *model
	disk    *disk
	common  *mailbox.Common
	epoch   protocol.Epoch
	b       *mailbox.Mailbox
	dueMS   int64 // as the last notice has it
	noticed bool  // that there is something to save
	step    *mailbox.Step
	asked   []*asked                            // of the step
	windows map[string]*mailbox.Window          // of devices online
	names   map[string]mailbox.Opened           // of the latest stream
	pushes  map[string][]push                   // on the latest stream
	history map[string][]push                   // ever
	places  map[protocol.Position]*modelMessage // of all that was written
	ids     int
	steps   int   // made
	replica *disk // what a replica has; nil: nothing
}

// push is a push, and what the model says of it.
type push struct {
	modelPush
	cursor string
}

// asked is an op of a step, and what it is to be answered.
type asked struct {
	op    *mailbox.Op
	want  mailbox.Status // where the step is applied
	model *modelOp       // nil: nothing is done
}

func newFixture(t testing.TB, data []byte) *fixture {
	f := &fixture{t: t, data: data, disk: newDisk(), x: &model{nowMS: startMS},
		names: make(map[string]mailbox.Opened), pushes: make(map[string][]push), history: make(map[string][]push),
		places: make(map[protocol.Position]*modelMessage)}
	f.start()
	f.load()
	return f
}

func (f *fixture) byte() int {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return int(b)
}

func (f *fixture) pick(n int) int { return f.byte() % n }

func (f *fixture) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *fixture) fatal(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("%s\nafter %v\nmodel:\n%v", fmt.Sprintf(format, args...), f.log[max(0, len(f.log)-40):], f.x)
}

// run does what data says.
func (f *fixture) run() {
	for len(f.data) > 0 {
		f.act()
		f.deliver()
		f.compare()
	}
	f.finish(0)
	f.deliver()
	f.compare()
	f.move()
	f.compare()
}

func (f *fixture) act() {
	device := "d" + strconv.Itoa(f.pick(4))
	switch f.pick(22) {
	case 0, 1, 2, 3, 4, 5:
		f.write()
	case 6, 7, 8:
		f.ack(device)
	case 9, 10:
		f.ackBeside(device)
	case 11, 12:
		f.open(device)
	case 13:
		f.cut(device)
	case 14:
		f.refresh(device)
	case 15, 16:
		f.advance()
	case 17:
		f.save()
	case 18:
		f.forgetUnseen()
	case 19:
		f.lose()
		f.reload()
	case 20, 21:
		f.replace(device)
	}
}

// replace has messages of one key, for one device, replace each other, leave, and come back if they can.
func (f *fixture) replace(device string) {
	f.open(device)
	for range 3 + f.pick(6) {
		f.finish(0)
		f.deliver()
		switch f.pick(8) {
		case 0, 1, 2:
			f.begin()
			f.ids++
			f.publishMessage(&modelMessage{id: "m" + strconv.Itoa(f.ids), device: device, key: "k"}, 86_400_000)
		case 3, 4:
			f.ack(device)
		case 5, 6:
			f.begin()
			f.recall("m" + strconv.Itoa(f.ids))
		case 7:
			f.reload()
			f.open(device)
		}
		f.deliver()
	}
}

// write makes a step, and finishes it at once or leaves it under way.
func (f *fixture) write() {
	if f.step != nil {
		f.finish(f.pick(8))
		f.deliver()
	}
	f.begin()
	for range 1 + f.pick(4) {
		if f.pick(5) == 0 {
			f.recall("m" + strconv.Itoa(max(1, f.ids-f.pick(6))))
		} else {
			f.publish()
		}
	}
	if f.pick(3) > 0 {
		f.finish(f.pick(8))
	}
}

func (f *fixture) begin() {
	f.steps++
	f.step = new(mailbox.Step)
	f.step.Begin(f.b)
}

func (f *fixture) publish() {
	f.ids++
	m := &modelMessage{id: "m" + strconv.Itoa(f.ids), lane: f.pick(protocol.Lanes)}
	kind := f.pick(16)
	if kind&1 != 0 {
		m.key = []string{"k", "k", "l"}[f.pick(3)]
	}
	switch kind >> 1 {
	case 0:
		m.device = "d" + strconv.Itoa(f.pick(4))
	case 1, 2:
		m.os = []string{"ios", "android"}[f.pick(2)]
	case 3:
		m.id = "m" + strconv.Itoa(1+f.pick(f.ids))
	}
	ttl := int64(86_400_000)
	if f.pick(3) == 0 {
		ttl = int64(500 + 2000*f.pick(8))
	}
	f.publishMessage(m, ttl)
}

func (f *fixture) publishMessage(m *modelMessage, ttl int64) {
	m.createdMS, m.expiresMS, m.matches = f.x.nowMS, f.x.nowMS+ttl, make(map[string]bool)
	o := &mailbox.Op{Message: &protocol.Message{ID: protocol.MessageID(m.id), Priority: protocol.LanePriority(m.lane), CollapseKey: m.key, Payload: []byte(`1`)},
		Device: protocol.DeviceID(m.device), TTLMS: ttl}
	if m.os != "" {
		o.Where = map[string]string{"os": m.os}
	}
	f.note("publish %s lane %d device %q os %q key %q ttl %d", m.id, m.lane, m.device, m.os, m.key, ttl)
	a := &asked{op: o, want: mailbox.StatusDuplicate}
	f.asked = append(f.asked, a)
	isNew := f.step.IsNew(o, f.x.nowMS)
	if known := f.x.knows(m.id); isNew == (known || f.x.writes(m.id)) || known && o.Status != mailbox.StatusDuplicate {
		f.fatal("%s is new: %v, and %d", m.id, isNew, o.Status)
	}
	if isNew {
		f.step.Publish(o, mailbox.Instant{MS: f.x.nowMS, Micros: uint64(f.x.nowMS) * 1000})
		a.want, a.model = mailbox.StatusAccepted, &modelOp{message: m, step: f.steps}
		f.x.underWay = append(f.x.underWay, a.model)
	}
}

func (f *fixture) recall(id string) {
	f.note("recall %s", id)
	a := &asked{op: &mailbox.Op{Recall: protocol.MessageID(id)}}
	f.asked = append(f.asked, a)
	f.step.Recall(a.op, f.x.nowMS)
	if m := f.x.find(id); m != nil {
		a.model = &modelOp{message: m, recall: true, step: f.steps}
		f.x.underWay = append(f.x.underWay, a.model)
	}
}

// finishUnknown has half of what is under way be in the store.
func (f *fixture) finishUnknown() {
	if f.step != nil && f.pick(2) == 0 {
		f.store()
	}
}

// store has the store do what is under way, whatever it answers.
func (f *fixture) store() {
	if f.step.IsEmpty() {
		return
	}
	var w store.Append
	f.step.WriteTo(&w)
	for !f.disk.append(&w) {
		if f.resolve(); f.step.IsEmpty() {
			return
		}
		w = store.Append{}
		f.step.WriteTo(&w)
	}
	for _, o := range append(slices.Clone(f.x.inDoubt), f.x.underWay...) {
		if o.stored = true; !o.recall {
			o.at = w.Entries[0].Position
			f.places[o.at] = o.message
			w.Entries = w.Entries[1:]
		}
	}
}

// resolve has the mailbox find in the store what was in doubt, or write again what the store has lost.
func (f *fixture) resolve() {
	last, step := f.disk.last, 0
	for _, o := range append(slices.Clone(f.x.inDoubt), f.x.underWay...) {
		if !o.recall && o.at == last && o.stored {
			step = o.step
		}
	}
	found, settled := f.step.Find(last)
	switch {
	case found == mailbox.FoundAll:
		f.fatal("found all of a step that was not written")
	case found == mailbox.FoundPrior:
		f.note("found %d", step)
		i := slices.IndexFunc(f.x.inDoubt, func(o *modelOp) bool { return o.step > step })
		if i < 0 {
			i = len(f.x.inDoubt)
		}
		for _, o := range f.x.inDoubt[:i] {
			f.x.applyOp(o)
		}
		f.x.inDoubt = f.x.inDoubt[i:]
		if settled != (i > 0 && len(f.x.inDoubt) == 0) || step == 0 || f.b.Last() != last {
			f.fatal("settled %v, %d are left, step %d, last %v", settled, len(f.x.inDoubt), step, f.b.Last())
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
	f.disk.replace(f.b.Contents(f.x.nowMS))
	f.x.save(f.x.devices...)
}

// lose sets the store back to what a replica had, and has its owner find out.
func (f *fixture) lose() {
	f.finish(0)
	f.deliver()
	if f.replica == nil || f.pick(2) == 0 {
		f.note("replica")
		f.replica = f.disk.clone()
		return
	}
	f.note("lose")
	f.disk = f.replica
	f.replica = nil
	for alone := false; !alone; { // what is in doubt is written first
		f.begin()
		f.step.Probe()
		alone = f.step.ProbesAlone()
		f.finish(0)
		f.deliver()
	}
	if !f.b.Marked() {
		f.replaceStored()
	}
}

// finish has the store answer what is under way: it has done it, or not, or cannot tell.
func (f *fixture) finish(answer int) {
	s := f.step
	if s == nil {
		return
	}
	told := protocol.Errorf(protocol.CodeUnavailable, "the store")
	f.note("answer %d", answer)
	var doubted bool
	rejected := true
	empty := s.IsEmpty()
	if answer == 1 {
		if f.store(); s.IsEmpty() { // all of it was found in the store
			answer = 0
		}
	}
	switch {
	case empty:
		rejected, f.x.underWay = false, nil
	case answer == 1 || answer == 2: // unknown: done, or not
		doubted = len(f.x.inDoubt) > 0
		if !f.adds(s) {
			f.x.underWay = nil // recalls of what is killed in doubt are no more than that
		}
		if first := s.KeepInDoubt(told); first == doubted && len(f.x.underWay) > 0 {
			f.fatal("first in doubt: %v", first)
		}
		f.x.inDoubt, f.x.underWay = append(f.x.inDoubt, f.x.underWay...), nil
	case answer == 3:
		s.Undo(told)
		f.x.underWay = nil
	default:
		f.store()
		if answer == 4 && !s.IsEmpty() { // written twice, the second time where it is
			f.findWritten(s)
		}
		doubted = len(f.x.inDoubt) > 0
		if settled := s.Apply(); settled != doubted {
			f.fatal("settled %v, in doubt before %v", settled, doubted)
		}
		f.x.apply()
		rejected = false
	}
	for _, a := range f.asked {
		f.answered(a, rejected)
	}
	s.Reset()
	f.step, f.asked = nil, nil
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
	if len(again.Entries) == 0 || f.x.underWay == nil || f.x.underWay[len(f.x.underWay)-1].recall {
		return
	}
	if found, _ := s.Find(f.disk.last); found != mailbox.FoundAll {
		f.fatal("found %d of a step that was written", found)
	}
}

func (f *fixture) answered(a *asked, rejected bool) {
	got, want := a.op.Outcome, mailbox.Outcome{Status: a.want}
	switch {
	case a.model != nil && rejected:
		want.Status = mailbox.StatusRejected
	case a.model != nil:
		want.Devices, want.Found = a.model.devices, a.model.found
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
