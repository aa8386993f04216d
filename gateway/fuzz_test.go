package gateway

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// driver does the same to a gateway and to the model, and compares.
type driver struct {
	t       *testing.T
	w       *world
	x       *model
	data    []byte
	log     []string
	live    map[string]*recorder      // latest stream of a device, ended or not
	history map[string][]pastPush     // every push of a device
	lost    map[string]bool           // the latest stream lost its gateway
	places  map[protocol.Position]int // the model's order of each message that was in a lane
	next    int                       // of message ids
}

type pastPush struct {
	modelPush
	cursor string
}

func (f *driver) byte() int {
	if len(f.data) == 0 {
		return 0
	}
	b := f.data[0]
	f.data = f.data[1:]
	return int(b)
}

func (f *driver) pick(n int) int { return f.byte() % n }

func (f *driver) note(format string, args ...any) {
	f.log = append(f.log, fmt.Sprintf(format, args...))
}

func (f *driver) fatal(format string, args ...any) {
	f.t.Helper()
	f.t.Fatalf("%s\nafter %v\nmodel:\n%v", fmt.Sprintf(format, args...), f.log[max(0, len(f.log)-60):], f.x)
}

func driveMailbox(t *testing.T, data []byte) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.OpensPerSecond, c.PublishesPerSecond = 0, 0 })
		defer func() { _ = w.g.Close(t.Context()) }()
		f := &driver{t: t, w: w, x: &model{now: time.Now()}, data: data,
			live: make(map[string]*recorder), history: make(map[string][]pastPush), lost: make(map[string]bool),
			places: make(map[protocol.Position]int)}
		for len(f.data) > 0 {
			f.step()
			f.compare()
		}
		w.stop()
	})
}

func (f *driver) step() {
	device := "d" + strconv.Itoa(f.pick(5))
	switch op := f.pick(26); op {
	case 0, 1, 2, 3, 4, 5, 6:
		f.publish()
	case 7, 8, 9, 10:
		f.ack(device)
	case 11, 12:
		f.ackBeside(device)
	case 13, 14, 15:
		f.open(device)
	case 16:
		if r := f.live[device]; r != nil {
			f.note("close %s", device)
			r.close()
			f.x.settle()
			f.x.device(device, "").online = false
		}
	case 17:
		f.reopen(device)
	case 18, 19:
		f.recall()
	case 20:
		if r := f.live[device]; r != nil && !r.over {
			os := []string{"ios", "android"}[f.pick(2)]
			f.note("refresh %s %s", device, os)
			r.stream.Refresh(&protocol.DeviceContext{OS: os})
			f.x.device(device, "").os = os
		}
	case 21, 22:
		f.sleep(5 * time.Second)
	case 23:
		f.again()
	case 24, 25:
		f.replace(device)
	}
	f.x.settle()
}

func (f *driver) publish() {
	batch := make([]*modelMessage, 1+f.pick(3)/2*f.pick(4))
	fault := f.pick(12)
	for i := range batch {
		batch[i] = f.draw()
	}
	f.send(fault, batch...)
}

func (f *driver) send(fault int, batch ...*modelMessage) {
	f.note("publish %d, fault %d:", len(batch), fault)
	if fault < 2 {
		unsureScript(f.w, 1, fault == 0)
	}
	if fault >= 2 {
		f.x.sure()
	}
	var want []link.Status
	var asked []link.Publish
	for _, m := range batch {
		p := f.w.message(m.id, protocol.LanePriority(m.lane), ttl(m.expires.Sub(f.x.now)), key(m.key), to(m.device))
		p.Where = m.where
		asked = append(asked, p)
		f.note("%s lane %d device %q where %q key %q expires %v", m.id, m.lane, m.device, m.where, m.key, m.expires.Sub(f.x.now))
		switch {
		case f.x.known(m.id) && fault < 2 && f.isUnsure(m.id):
			want = append(want, link.StatusRejected)
		case f.x.known(m.id):
			want = append(want, link.StatusDuplicate)
		case fault < 2:
			want = append(want, link.StatusRejected)
			f.x.unsure = append(f.x.unsure, m)
		default:
			want = append(want, link.StatusAccepted)
			f.x.insert(m)
		}
	}
	for i, r := range f.w.publish(asked...) {
		if r.Status != want[i] {
			f.fatal("publish %s: %+v; want %d", batch[i].id, r, want[i])
		}
	}
	f.w.store.Script(nil)
	for _, m := range f.x.unsure {
		m.stored = m.stored || fault == 1 // with what comes before it, all is written again
	}
}

// draw is a message of the next id, or of an old one, with any target, key and time.
func (f *driver) draw() *modelMessage {
	m := f.plain("")
	switch kind := f.pick(16); kind {
	case 0, 1:
		m.device = "d" + strconv.Itoa(f.pick(5))
		m.key = f.drawKey(kind == 0)
	case 2, 3:
		m.where = map[string]string{"os": []string{"ios", "android"}[f.pick(2)]}
		m.key = f.drawKey(kind == 2)
	case 4, 5:
		m.where = hostileWheres[f.pick(len(hostileWheres))]
		m.key = f.drawKey(true)
	case 6, 7, 8, 9:
		m.key = f.drawKey(true)
	case 10:
		m.id = "m" + strconv.Itoa(1+f.pick(f.next))
	}
	if f.pick(4) == 0 {
		m.expires = f.x.now.Add(time.Duration(3500+5000*f.pick(4)) * time.Millisecond)
	}
	return m
}

// plain is a message for all devices and a day.
func (f *driver) plain(key string) *modelMessage {
	f.next++
	return &modelMessage{id: "m" + strconv.Itoa(f.next), key: key, lane: f.pick(3),
		created: f.x.now, expires: f.x.now.Add(24 * time.Hour), verdicts: make(map[string]bool)}
}

// replace has messages of one key, for one device, replace each other, leave, and come back if they can.
func (f *driver) replace(device string) {
	f.open(device)
	f.x.settle()
	for range 2 + f.pick(6) {
		switch f.pick(8) {
		case 0, 1, 2:
			m := f.plain("k")
			m.device = device
			f.send(2, m)
		case 3, 4, 5:
			f.ackAll(device)
		case 6:
			f.recallID("m" + strconv.Itoa(f.next))
		case 7:
			f.note("crash")
			f.w.crash()
			f.x.crash()
			f.reloaded()
		}
		f.x.settle()
		f.compare()
	}
}

// ackAll acks what a device was pushed, beside its stream where it has lost that.
func (f *driver) ackAll(device string) {
	r := f.live[device]
	if r == nil || len(f.x.device(device, "").stream) == 0 {
		return
	}
	d := f.x.device(device, "")
	last := d.stream[len(d.stream)-1]
	f.note("ack %s all", device)
	if err := f.w.ackBeside(device, byCursor(r.last())); err != nil {
		f.fatal("ack: %v", err)
	}
	f.x.ack(d, last.cover, last.seq)
}

func (f *driver) drawKey(some bool) string {
	if !some {
		return ""
	}
	return []string{"k", "k", "k", "key"}[f.pick(4)]
}

func (f *driver) isUnsure(id string) bool {
	return slices.ContainsFunc(f.x.unsure, func(m *modelMessage) bool { return m.id == id })
}

func (f *driver) ack(device string) {
	r := f.live[device]
	if r == nil || r.over {
		return
	}
	d := f.x.device(device, "")
	seq := r.opened.Seq + protocol.Seq(f.pick(len(d.stream)+1))
	if n := len(d.stream); n > 0 && f.pick(2) == 0 {
		seq = d.stream[n-1].seq
	}
	f.note("ack %s %d", device, seq)
	r.ack(seq)
	f.x.ackSeq(d, seq)
}

// ackBeside acks by a cursor that the device was ever pushed, or by seq and stream.
func (f *driver) ackBeside(device string) {
	past := f.history[device]
	if len(past) == 0 {
		return
	}
	d := f.x.device(device, "")
	if r := f.live[device]; f.pick(3) == 0 && r != nil && !f.lost[device] {
		seq := r.opened.Seq + protocol.Seq(f.pick(len(d.stream)+1))
		f.note("ack beside %s %d of %s", device, seq, r.opened.Name)
		if err := f.w.ackBeside(device, bySeq(seq, r.opened.Name)); err != nil {
			f.fatal("ack beside: %v", err)
		}
		f.x.ackSeq(d, seq)
		return
	}
	p := past[f.pick(len(past))]
	f.note("ack beside %s cursor of %s", device, p.id)
	if err := f.w.ackBeside(device, byCursor(p.cursor)); err != nil {
		f.fatal("ack beside: %v", err)
	}
	f.x.ack(d, p.cover, p.seq)
}

func (f *driver) open(device string) {
	os := []string{"ios", "android"}[f.pick(2)]
	n := 1 + f.pick(12)
	form, past, old := f.pick(4), f.history[device], f.live[device]
	edits := []func(*link.Open){window(n), context_(protocol.DeviceContext{OS: os})}
	f.x.settle()
	known := len(f.x.devices)
	d := f.x.device(device, os)
	if len(f.x.devices) > known {
		f.x.save(d) // durably, before it is told anything
	}
	resumed, begin := false, func() {}
	switch {
	case form == 0 && len(past) > 0:
		p := past[len(past)-1-f.pick(len(past))]
		edits, resumed, begin = append(edits, at(p.cursor)), true, func() { f.x.ack(d, p.cover, p.seq) }
	case form == 1 && old != nil:
		seq := old.opened.Seq + protocol.Seq(f.pick(len(d.stream)+1))
		resumed = !f.lost[device]
		edits = append(edits, counted(seq, old.opened.Name))
		if resumed {
			begin = func() { f.x.ackSeq(d, seq) }
		}
	case form == 2:
		edits = append(edits, at("kforged"))
	}
	f.note("open %s form %d window %d %s", device, form, n, os)
	r, err := f.w.tryOpen(device, edits...)
	if err != nil {
		f.fatal("open: %v", err)
	}
	begin()
	d.seq = max(d.seq, d.ackSeq)
	if d.loose && d.ackSeq <= r.opened.Seq && r.opened.Seq < d.seq {
		d.seq = r.opened.Seq
	}
	d.loose = false
	want := link.Opened{Number: r.opened.Number, Name: r.opened.Name, Epoch: f.w.epoch, Cursor: r.opened.Cursor, Resumed: resumed, Seq: d.seq, Expired: d.expired, Pending: r.opened.Pending}
	if d.doubtful && r.opened.Expired < want.Expired {
		want.Expired = r.opened.Expired // it may have acked them, as far as anybody knows
	}
	d.doubtful = false
	if r.opened != want {
		f.fatal("hello of %s is %+v; want %+v", device, r.opened, want)
	}
	if old != nil && !old.over {
		f.fatal("the older stream of %s goes on", device)
	}
	d.online, d.window, d.os, d.expired, d.read, d.sent, d.stream = true, n, os, 0, d.acked, nil, nil
	d.base = modelPush{cover: f.cover(device, r.opened.Cursor, d.acked), seq: d.ackSeq}
	if r.opened.Expired > 0 { // saved before it is told of them, but with what is the next for it judged
		f.x.next(d)
		f.x.drop()
		f.x.save(d)
	}
	f.live[device], f.lost[device] = r, false
	r.stream.Credit(plenty)
}

// reopen goes on with the latest stream's socket, as if the link had broken.
func (f *driver) reopen(device string) {
	old := f.live[device]
	if old == nil || old.over && !old.lost {
		return
	}
	d := f.x.device(device, "")
	acked := old.opened.Seq + protocol.Seq(f.pick(len(d.stream)+1))
	keep := len(d.stream) - f.pick(min(3, len(d.stream)+1))
	acked = min(acked, old.opened.Seq+protocol.Seq(keep))
	f.note("re-open %s acked %d of %d, kept %d", device, acked, len(d.stream), keep)
	old.pushes = old.pushes[:keep]
	f.x.settle()
	r, err := f.w.tryOpen(device, reopens(old, acked), window(d.window), context_(protocol.DeviceContext{OS: d.os}))
	if err != nil {
		f.fatal("re-open: %v", err)
	}
	past := f.history[device]
	past = past[:len(past)-(len(d.stream)-keep)] // what was lost on the link can be acked by nobody
	f.history[device] = past
	d.stream = d.stream[:keep]
	d.sent, d.read = nil, d.acked
	f.x.ack(d, d.base.cover, d.base.seq)
	for _, p := range d.stream {
		if p.seq <= acked {
			f.x.ack(d, p.cover, p.seq)
		}
	}
	d.read = d.acked
	for _, p := range d.stream {
		if p.seq > acked {
			d.sent = append(d.sent, p)
			for i := range 3 {
				d.read[i] = max(d.read[i], p.cover[i])
			}
		}
	}
	f.x.ack(d, d.acked, 0)
	d.seq = old.opened.Seq + protocol.Seq(keep)
	d.online = true
	old.over = true
	r.pushes = old.pushes
	r.opened = link.Opened{Number: r.opened.Number, Name: r.opened.Name, Cursor: old.opened.Cursor, Seq: old.opened.Seq}
	f.live[device], f.lost[device] = r, false
	r.stream.Credit(plenty)
}

func (f *driver) recall() {
	if f.next == 0 {
		return
	}
	f.recallID("m" + strconv.Itoa(f.next-f.pick(min(f.next, 20))))
}

func (f *driver) recallID(id string) {
	f.x.sure()
	want := false
	for _, m := range f.x.all {
		if m.id == id && !m.dead {
			m.dead, m.killed, want = true, true, true
		}
	}
	f.note("recall %s", id)
	if ok, err := f.w.recall(id); ok != want || err != nil {
		f.fatal("recall of %s: %v, %v; want %v", id, ok, err, want)
	}
}

// again goes through a restart, a crash, another ownership, or a long idle time. A crash loses what was not saved yet.
func (f *driver) again() {
	how := f.pick(10)
	f.note("again %d", how)
	switch how {
	case 0:
		f.w.restart()
		f.x.save(f.x.devices...)
		f.x.resolve()
	case 1, 2, 3, 4:
		f.w.crash()
		f.x.crash()
	case 5:
		f.w.take(f.w.epoch + 1)
		f.x.save(f.x.devices...)
		f.x.resolve()
	case 6:
		f.sleep(f.w.cfg.MailboxIdle + 10*time.Second)
		return
	default:
		return
	}
	f.reloaded()
}

func (f *driver) reloaded() {
	f.x.reload()
	for d := range f.live {
		f.lost[d] = true
	}
}

func (f *driver) sleep(by time.Duration) {
	f.note("sleep %v", by)
	time.Sleep(by)
	synctest.Wait()
	f.x.advance(by)
	if err := f.w.g.writeBehind.flush(f.t.Context(), false); err != nil { // what was dropped at this very moment
		f.fatal("save: %v", err)
	}
	f.x.save(f.x.devices...)
	if f.w.g.common.Ledger.Mailboxes.Load() == 0 {
		f.note("unloaded")
		f.reloaded()
		for _, d := range f.x.devices {
			d.doubtful = true // it may have left before what expired at that time was counted, and what where said left with it
		}
	}
	for d, r := range f.live { // a window that stayed full
		if r.over && r.reason == protocol.ReasonAckTimeout {
			f.x.device(d, "").online = false
		}
	}
}

// look notes the places of what is in the lanes.
func (f *driver) look() {
	for _, e := range f.w.look().Entries {
		if _, known := f.places[e.Position]; known {
			continue
		}
		for _, m := range f.x.all {
			if m.id == string(e.Message.ID) {
				f.places[e.Position] = m.order // of an id that has come again the last
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
		d := f.x.device(device, "")
		var want []string
		for _, p := range d.stream {
			want = append(want, p.id)
		}
		if have := r.ids(); !slices.Equal(have, want) {
			f.fatal("%s was pushed %v; want %v", device, have, want)
		}
		r.got(want...)
		if n := len(f.history[device]); len(d.stream) > 0 && (n == 0 || f.history[device][n-1].cursor != r.last()) {
			for i := range d.stream {
				c := r.pushes[i].Cursor
				d.stream[i].cover = f.cover(d.id, c, d.stream[i].cover)
				if !slices.ContainsFunc(f.history[device], func(p pastPush) bool { return p.cursor == c }) {
					f.history[device] = append(f.history[device], pastPush{d.stream[i], c})
				}
			}
		}
	}
	if err := f.w.g.Check(); err != nil {
		f.fatal("%v", err)
	}
	if f.w.g.common.Ledger.Mailboxes.Load() > 0 {
		if have, want := f.w.waiting(), f.x.waiting(); !slices.Equal(have, want) {
			f.fatal("%v wait; want %v", have, want)
		}
	}
}

func TestMailboxAgainstModel(t *testing.T) {
	seed, rounds := uint64(time.Now().UnixNano()), 60
	if s := os.Getenv("RAMEN_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(errors.New("RAMEN_SEED must be a number"))
		}
		seed, rounds = n, 1
	}
	if s := os.Getenv("RAMEN_ROUNDS"); s != "" {
		rounds, _ = strconv.Atoi(s)
	}
	for i := range rounds {
		at := seed + uint64(i)
		rng := rand.New(rand.NewPCG(at, 1))
		data := make([]byte, 400+rng.IntN(2000))
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		if !t.Run("", func(t *testing.T) { driveMailbox(t, data) }) {
			t.Fatalf("again with RAMEN_SEED=%d", at)
		}
	}
}

func FuzzMailbox(f *testing.F) {
	f.Add([]byte{0, 13, 0, 3, 0, 0, 0, 5, 1, 2})
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 2))
		data := make([]byte, 300)
		for j := range data {
			data[j] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4000 {
			t.Skip("long enough")
		}
		driveMailbox(t, data)
	})
}
