package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"ramen/gateway/mailbox/mailboxtest"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

// driver does the same to a gateway and to the model, and compares.
type driver struct {
	t      *testing.T
	w      *fixture
	x      *mailboxtest.Model
	log    []string
	live   map[string]*recorder      // latest stream of a device, ended or not
	places map[protocol.Position]int // the model's order of each message that was in a lane
}

func (f *driver) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *driver) fatal(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("%s\nafter %v\nmodel:\n%v", fmt.Sprintf(format, args...), f.log[max(0, len(f.log)-60):], f.x)
}

func driveMailbox(t *testing.T, data []byte) {
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, func(c *Config) { c.OpensPerSecond, c.PublishesPerSecond = 0, 0 })
		defer func() { _ = w.g.Close(t.Context()) }()
		f := &driver{t: t, w: w, x: mailboxtest.New(time.Now().UnixMilli(), w.cfg.IDRetention),
			live: make(map[string]*recorder), places: make(map[protocol.Position]int)}
		f.drive(data)
		w.stop()
	})
}

func (f *driver) drive(data []byte) {
	source := mailboxtest.NewSource(data)
	for a := source.Next(f.x); a != nil; a = source.Next(f.x) {
		f.note("%T%+v", a, a)
		f.act(a)
		f.x.Deliver()
		f.compare()
	}
}

// act leaves out what a gateway does by its own clock, and losses of the store, of which mend_test.go has schedules.
func (f *driver) act(a mailboxtest.Act) {
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
		f.live[a.Device].close()
		f.x.Close(f.x.Device(a.Device))
	case mailboxtest.Reopen:
		f.reopen(a)
	case mailboxtest.Refresh:
		f.live[a.Device].stream.Refresh(&protocol.DeviceContext{OS: a.OS})
		f.x.Device(a.Device).OS = a.OS
	case mailboxtest.Advance:
		if !f.realTime() {
			f.sleep(a.By)
		}
	case mailboxtest.Save:
		f.save()
	case mailboxtest.Restart:
		f.restart(a)
	case mailboxtest.ForgetUnseen, mailboxtest.Copy, mailboxtest.Lose:
	default:
		f.fatal("unknown act")
	}
}

// write publishes in batches, and recalls between them.
func (f *driver) write(a mailboxtest.Write) {
	var batch []*mailboxtest.Message
	for _, r := range a.Requests {
		if r.Message != nil {
			batch = append(batch, r.Message)
			continue
		}
		f.publish(a.Answer, batch...)
		f.recall(r.Recall)
		batch = nil
	}
	f.publish(a.Answer, batch...)
}

// faultOf is what the store does to an append that is answered so.
func faultOf(a mailboxtest.Answer) memory.Fault {
	switch a {
	case mailboxtest.UnknownDone, mailboxtest.UnknownLost:
		return memory.Fault{Err: store.ErrUnknown, Lost: a == mailboxtest.UnknownLost}
	case mailboxtest.Failed:
		return memory.Fault{Err: errors.New("scripted")}
	}
	return memory.Fault{}
}

// failAppend has the next append have that fault, until restore is called.
func (f *driver) failAppend(fault memory.Fault) (restore func()) {
	if f.realTime() {
		f.w.real.fault.Store(&fault)
		return func() { f.w.real.fault.Store(nil) }
	}
	first := true
	f.w.store.Script(func(_ context.Context, op memory.Op) memory.Fault {
		if op.Kind == memory.OpAppend && first {
			first = false
			return fault
		}
		return memory.Fault{}
	})
	return func() { f.w.store.Script(nil) }
}

func (f *driver) publish(answer mailboxtest.Answer, batch ...*mailboxtest.Message) {
	if len(batch) == 0 {
		return
	}
	fault := faultOf(answer)
	if fault.Err != nil {
		defer f.failAppend(fault)()
	}
	ops := make([]*mailboxtest.Op, len(batch))
	want := make([]link.Status, len(batch))
	asked := make([]link.Publish, len(batch))
	for i, m := range batch {
		if f.realTime() {
			m.TTL = 24 * time.Hour // nothing expires meanwhile
		}
		asked[i] = f.w.message(m.ID, protocol.LanePriority(m.Lane), ttl(m.TTL), key(m.Key), to(m.Device))
		asked[i].Where = m.Where
		f.note("%+v", *m)
		known := f.x.Knows(m.ID)
		ops[i] = f.x.Publish(m)
		switch {
		case known || ops[i] == nil && fault.Err == nil:
			want[i] = link.StatusDuplicate
		case fault.Err != nil:
			want[i] = link.StatusRejected
		default:
			want[i] = link.StatusAccepted
		}
	}
	results := f.w.publish(asked...)
	switch answer {
	case mailboxtest.UnknownDone:
		f.x.Stored() // with what comes before it
		f.x.Doubt()
	case mailboxtest.UnknownLost:
		f.x.Doubt()
	case mailboxtest.Failed:
		f.x.Undo()
	default:
		f.x.Apply()
	}
	for i, r := range results {
		if r.Status != want[i] || want[i] == link.StatusAccepted && r.Devices != ops[i].Devices {
			f.fatal("publish %s: %+v; want %d for %+v", batch[i].ID, r, want[i], ops[i])
		}
	}
	f.x.Deliver()
}

// ack acks on a stream.
func (f *driver) ack(a mailboxtest.Ack) {
	r, d := f.live[a.Device], f.x.Device(a.Device)
	if a.ByCursor {
		p := d.Stream[a.Pushes-1]
		r.stream.Ack(0, p.Cursor)
		f.x.Ack(d, p.Cover, p.Seq)
		return
	}
	seq := d.Begin + protocol.Seq(a.Pushes)
	r.ack(seq)
	f.x.AckSeq(d, seq)
}

func (f *driver) ackBeside(a mailboxtest.AckBeside) {
	d := f.x.Device(a.Device)
	var err error
	if a.Push != nil {
		err = f.w.ackBeside(a.Device, byCursor(a.Push.Cursor))
		f.x.Ack(d, a.Push.Cover, a.Push.Seq)
	} else {
		seq := d.Begin + protocol.Seq(a.Pushes)
		err = f.w.ackBeside(a.Device, bySeq(seq, d.Name))
		f.x.AckSeq(d, seq)
	}
	if err != nil {
		f.fatal("ack beside: %v", err)
	}
}

func (f *driver) open(a mailboxtest.Open) {
	old := f.live[a.Device]
	edits := []func(*link.Open){window(a.Window), context_(protocol.DeviceContext{OS: a.OS})}
	d, _ := f.x.Know(a.Device, a.OS)
	switch a.From {
	case mailboxtest.FromCursor:
		edits = append(edits, at(a.Push.Cursor))
	case mailboxtest.FromSeq:
		edits = append(edits, counted(d.Begin+protocol.Seq(a.Pushes), d.Name))
	case mailboxtest.FromForged:
		edits = append(edits, at("kforged"))
	}
	r, err := f.w.tryOpen(a.Device, edits...)
	if err != nil {
		f.fatal("open: %v", err)
	}
	o := r.opened
	if err := f.x.Open(d, a, mailboxtest.Opened{Name: o.Name, Seq: o.Seq, Expired: o.Expired, Resumed: o.Resumed, Pending: o.Pending}); err != nil {
		f.fatal("%v", err)
	}
	if o.Epoch != f.w.epoch {
		f.fatal("opened at epoch %d; want %d", o.Epoch, f.w.epoch)
	}
	if old != nil && !old.over {
		f.fatal("the older stream of %s goes on", a.Device)
	}
	d.Hello.Cover = f.cover(a.Device, o.Cursor, d.Acked)
	f.live[a.Device] = r
	r.stream.Credit(plenty)
}

// reopen goes on with the latest stream's socket, as if the link had broken.
func (f *driver) reopen(a mailboxtest.Reopen) {
	old, d := f.live[a.Device], f.x.Device(a.Device)
	old.pushes = old.pushes[:a.Kept]
	r, err := f.w.tryOpen(a.Device, reopens(old, d.Begin+protocol.Seq(a.Acked)), window(d.Window), context_(protocol.DeviceContext{OS: d.OS}))
	if err != nil {
		f.fatal("re-open: %v", err)
	}
	f.x.Reopen(d, a, r.opened.Name)
	old.over = true
	r.pushes = old.pushes
	r.opened = link.Opened{Number: r.opened.Number, Name: r.opened.Name, Cursor: old.opened.Cursor, Seq: old.opened.Seq}
	f.live[a.Device] = r
	r.stream.Credit(plenty)
}

func (f *driver) recall(id string) {
	op := f.x.Recall(id)
	f.x.Apply()
	want := op != nil && op.Found
	if ok, err := f.w.recall(id); ok != want || err != nil {
		f.fatal("recall of %s: %v, %v; want %v", id, ok, err, want)
	}
	f.x.Deliver()
}

// restart has the mailbox leave the gateway's memory. A crash loses what was not saved yet.
func (f *driver) restart(a mailboxtest.Restart) {
	switch a.How {
	case mailboxtest.Stop:
		f.w.restart()
		f.x.Save(f.x.Devices...)
	case mailboxtest.Crash:
		f.w.crash()
		f.x.Crash()
	case mailboxtest.Move:
		f.w.take(f.w.epoch + 1)
		f.x.Save(f.x.Devices...)
	case mailboxtest.Idle:
		if !f.realTime() {
			f.sleep(f.w.cfg.MailboxIdle + 10*time.Second)
		}
		return
	}
	f.x.Load()
}

func (f *driver) sleep(by time.Duration) {
	time.Sleep(by)
	synctest.Wait()
	f.x.Advance(by)
	f.save() // what was dropped at this very moment
	if f.w.g.common.Ledger.Mailboxes.Load() == 0 {
		f.note("unloaded")
		f.x.Load()
		for _, d := range f.x.Devices {
			d.Doubtful = true // it may have left before what expired at that time was counted, and what where said left with it
		}
	}
	for d, r := range f.live { // a window that stayed full
		if r.over && r.reason == protocol.ReasonAckTimeout {
			f.x.Close(f.x.Device(d))
		}
	}
}

func (f *driver) save() {
	if err := f.w.g.writeBehind.flush(f.t.Context(), false); err != nil {
		f.fatal("save: %v", err)
	}
	f.x.Save(f.x.Devices...)
}

// look notes the places of what is in the lanes.
func (f *driver) look() {
	for _, e := range f.w.look().Entries {
		if _, known := f.places[e.Position]; known {
			continue
		}
		for _, m := range f.x.All {
			if m.ID == string(e.Message.ID) {
				f.places[e.Position] = m.Order // of an id that has come again the last
			}
		}
	}
}

// cover is what a cursor covers: less than the model thinks where what is dead had left its lane before the device read it,
// which matters where a crash brings that back.
func (f *driver) cover(device, cursor string, cover [3]int) [3]int {
	c, err := f.w.g.common.Sealer.Open(alice, protocol.DeviceID(device), cursor)
	if err != nil {
		f.fatal("cursor of %s: %v", device, err)
	}
	for i, p := range c.At {
		if order, ok := f.places[p]; ok || p == (protocol.Position{}) {
			cover[i] = order
		}
	}
	return cover
}

func (f *driver) compare() {
	f.look()
	for device, r := range f.live {
		d := f.x.Device(device)
		var want []string
		for _, p := range d.Stream {
			want = append(want, p.ID)
		}
		if have := r.ids(); !slices.Equal(have, want) {
			f.fatal("%s was pushed %v; want %v", device, have, want)
		}
		r.got(want...)
		for i, p := range d.Stream {
			if p.Cursor == "" {
				f.x.Pushed(d, i, r.pushes[i].Cursor, f.cover(device, r.pushes[i].Cursor, p.Cover))
			}
		}
	}
	if err := f.w.g.Check(); err != nil {
		f.fatal("%v", err)
	}
	if f.w.g.common.Ledger.Mailboxes.Load() > 0 {
		if have, want := f.w.waiting(), f.x.Waiting(); !slices.Equal(have, want) {
			f.fatal("%v wait; want %v", have, want)
		}
	}
}

// modelSeed is RAMEN_SEED and one round, or a seed that is drawn and so many rounds, or RAMEN_ROUNDS.
func modelSeed(t *testing.T, rounds int) (seed uint64, n int) {
	if s := os.Getenv("RAMEN_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(errors.New("RAMEN_SEED must be a number"))
		}
		return seed, 1
	}
	if s := os.Getenv("RAMEN_ROUNDS"); s != "" {
		rounds, _ = strconv.Atoi(s)
	}
	return uint64(time.Now().UnixNano()), rounds
}

func TestMailboxAgainstModel(t *testing.T) {
	seed, rounds := modelSeed(t, 60)
	for i := range rounds {
		at := seed + uint64(i)
		data := mailboxtest.RandomData(at, 400, 2400)
		if !t.Run("", func(t *testing.T) { driveMailbox(t, data) }) {
			t.Fatalf("again with RAMEN_SEED=%d", at)
		}
	}
}

func FuzzMailbox(f *testing.F) {
	f.Add([]byte{0, 13, 0, 3, 0, 0, 0, 5, 1, 2})
	for seed := range uint64(8) {
		f.Add(mailboxtest.RandomData(seed, 300, 300))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			t.Skip("long enough")
		}
		driveMailbox(t, data)
	})
}
