package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/gateway/mailbox"
	"ramen/link"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/memory"
)

const testShards = 4

// fixture is a gateway on a memory disk that outlives it.
type fixture struct {
	t     testing.TB
	cfg   Config
	disk  *memory.Disk
	store *memory.Store
	g     *Gateway
	epoch protocol.Epoch

	registry *prometheus.Registry
	shares   bool         // the store is one that several open, and that may lose
	real     *faultyStore // instead of disk; nil: there is none
}

// inSyncTest runs a test of a gateway in synctest's time, and counts everything up at its end.
func inSyncTest(t *testing.T, edit func(*Config), test func(t *testing.T, w *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newFixture(t, edit)
		defer func() { _ = w.g.Close(context.Background()) }() // a failed test leaves no goroutines to synctest
		test(t, w)
		w.check()
		w.stop()
	})
}

func newFixture(t testing.TB, edit func(*Config)) *fixture {
	w := &fixture{t: t, cfg: Default()}
	w.cfg.ShardCount = testShards
	if edit != nil {
		edit(&w.cfg)
	}
	w.disk = memory.NewDisk(memory.Config{IDRetention: w.cfg.IDRetention})
	w.start()
	return w
}

func (w *fixture) start() {
	w.t.Helper()
	w.registry = prometheus.NewRegistry()
	deps := Deps{Store: w.openStore(), Registerer: w.registry, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	g, err := New(w.cfg, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.g = g; w.real != nil {
		g.again.running = true // it never runs: what is in doubt is written with the next act that writes
	}
	last, err := deps.Store.LastEpoch(context.Background())
	if err != nil {
		w.t.Fatal(err)
	}
	w.take(last + 1)
}

func (w *fixture) openStore() store.Store {
	if w.real != nil {
		return w.real.open()
	}
	shared := w.disk.OpenShared()
	if w.store = shared.Store; w.shares {
		return shared
	}
	return w.store
}

func (w *fixture) closeStore() {
	if w.real != nil {
		w.real.closed.Store(true)
		return
	}
	w.store.Close()
}

func (w *fixture) take(epoch protocol.Epoch) {
	w.t.Helper()
	shards := make([]protocol.ShardID, testShards)
	for i := range shards {
		shards[i] = protocol.ShardID(i)
	}
	if err := w.g.Take(context.Background(), shards, epoch, time.Time{}); err != nil {
		w.t.Fatal(err)
	}
	w.epoch = epoch
}

// stop closes the gateway, which saves what was lazy.
func (w *fixture) stop() {
	w.t.Helper()
	if err := w.g.Close(context.Background()); err != nil {
		w.t.Fatalf("close: %v", err)
	}
	w.check()
	w.closeStore()
}

func (w *fixture) restart() { w.t.Helper(); w.stop(); w.start() }

// crash loses everything that was not written.
func (w *fixture) crash() {
	w.t.Helper()
	w.closeStore()
	_ = w.g.Close(context.Background())
	w.start()
}

// sleep lets time pass, and everything that it brings about.
func (w *fixture) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *fixture) check() {
	w.t.Helper()
	if err := w.g.Check(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *fixture) route(user protocol.UserID) link.Route {
	n := 0
	for _, c := range []byte(user) {
		n += int(c)
	}
	return link.Route{Shard: protocol.ShardID(n % testShards), Epoch: w.epoch}
}

const alice = protocol.UserID("alice")

const (
	high   = protocol.PriorityHigh
	medium = protocol.PriorityMedium
	low    = protocol.PriorityLow
)

// message is a publish to alice with that id.
func (w *fixture) message(id string, p protocol.Priority, edits ...func(*link.Publish)) link.Publish {
	m := link.Publish{User: alice, TTLMS: 30 * 60_000, Message: &protocol.Message{
		ID: protocol.MessageID(id), Priority: p, Payload: []byte(`"` + id + `"`), ContentType: protocol.ContentTypeJSON,
	}}
	for _, e := range edits {
		e(&m)
	}
	m.Route = w.route(m.User)
	return m
}

func (w *fixture) publish(batch ...link.Publish) []link.Result {
	return w.g.Publish(context.Background(), batch)
}

// accept publishes one message, which must be accepted.
func (w *fixture) accept(id string, p protocol.Priority, edits ...func(*link.Publish)) link.Result {
	w.t.Helper()
	r := w.publish(w.message(id, p, edits...))[0]
	if r.Status != link.StatusAccepted {
		w.t.Fatalf("publish of %s: status %d, error %v; want accepted", id, r.Status, r.Err)
	}
	return r
}

// refuse publishes one message, which must be rejected with that code.
func (w *fixture) refuse(code protocol.Code, id string, p protocol.Priority, edits ...func(*link.Publish)) {
	w.t.Helper()
	r := w.publish(w.message(id, p, edits...))[0]
	if r.Status != link.StatusRejected {
		w.t.Fatalf("publish of %s: status %d; want rejected", id, r.Status)
	}
	wantCode(w.t, r.Err, code)
}

func (w *fixture) duplicate(id string, p protocol.Priority, edits ...func(*link.Publish)) {
	w.t.Helper()
	if r := w.publish(w.message(id, p, edits...))[0]; r.Status != link.StatusDuplicate {
		w.t.Fatalf("publish of %s: status %d, error %v; want duplicate", id, r.Status, r.Err)
	}
}

func wantCode(t testing.TB, err error, code protocol.Code) {
	t.Helper()
	var e *protocol.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("error %v; want %s", err, code)
	}
}

func ttl(d time.Duration) func(*link.Publish) {
	return func(p *link.Publish) { p.TTLMS = d.Milliseconds() }
}
func key(k string) func(*link.Publish) { return func(p *link.Publish) { p.Message.CollapseKey = k } }
func to(d string) func(*link.Publish) {
	return func(p *link.Publish) { p.Device = protocol.DeviceID(d) }
}
func user(u string) func(*link.Publish) { return func(p *link.Publish) { p.User = protocol.UserID(u) } }
func payload(n int) func(*link.Publish) {
	return func(p *link.Publish) { p.Message.Payload = []byte(strings.Repeat("x", n)) }
}
func where(kv ...string) func(*link.Publish) {
	return func(p *link.Publish) {
		p.Where = make(map[string]string)
		for i := 0; i < len(kv); i += 2 {
			p.Where[kv[i]] = kv[i+1]
		}
	}
}

// recorder is a device's end of a stream. It records what it is told, and what it must not be told.
type recorder struct {
	t      testing.TB
	w      *fixture
	device protocol.DeviceID
	stream link.Stream
	opened link.Opened
	on     func(batch []protocol.Push) // called in Push; may call the stream

	mu     sync.Mutex
	pushes []protocol.Push
	acked  []protocol.Seq
	reason protocol.Reason
	detail string
	lost   bool
	over   bool // closed, lost, or Close has returned
	inside bool

	onClosed func() // called in Closed
}

func (r *recorder) enter(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		r.t.Errorf("%s of %s after the last call", what, r.device)
	}
	if r.inside {
		r.t.Errorf("%s of %s while another call is under way", what, r.device)
	}
	r.inside = true
}

func (r *recorder) leave() { r.mu.Lock(); r.inside = false; r.mu.Unlock() }

func (r *recorder) Push(_ link.Generation, batch []protocol.Push, _ bool) {
	r.enter("push")
	r.mu.Lock()
	r.pushes = append(r.pushes, batch...)
	on := r.on
	r.mu.Unlock()
	if on != nil {
		on(batch)
	}
	r.leave()
}

func (r *recorder) Acked(_ link.Generation, seq protocol.Seq) {
	r.enter("acked")
	r.mu.Lock()
	r.acked = append(r.acked, seq)
	r.mu.Unlock()
	r.leave()
}

func (r *recorder) Closed(_ link.Generation, reason protocol.Reason, detail string) {
	r.enter("closed")
	r.leave()
	r.mu.Lock()
	r.reason, r.detail, r.over = reason, detail, true
	on := r.onClosed
	r.mu.Unlock()
	if on != nil {
		on()
	}
}

func (r *recorder) Lost(link.Generation, link.Loss) {
	r.enter("lost")
	r.leave()
	r.mu.Lock()
	r.lost, r.over = true, true
	r.mu.Unlock()
}

func (r *recorder) close() {
	r.stream.Close(protocol.ReasonGone)
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
}

func (r *recorder) ids() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	ids := make([]string, len(r.pushes))
	for i, p := range r.pushes {
		ids[i] = string(p.Message.ID)
	}
	return ids
}

// last is the cursor of the last push, or of the hello.
func (r *recorder) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.pushes); n > 0 {
		return r.pushes[n-1].Cursor
	}
	return r.opened.Cursor
}

// got fails unless exactly these were pushed since the stream began, numbered without a gap.
func (r *recorder) got(ids ...string) {
	r.t.Helper()
	if have := r.ids(); !slices.Equal(have, ids) {
		r.t.Fatalf("%s was pushed %v; want %v", r.device, have, ids)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.pushes {
		if want := r.opened.Seq + protocol.Seq(i) + 1; p.Seq != want {
			r.t.Fatalf("push %d of %s has seq %d; want %d", i, r.device, p.Seq, want)
		}
	}
}

func (r *recorder) ended(reason protocol.Reason) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.reason != reason {
		r.t.Fatalf("stream of %s ended with %q (%s), lost %v; want %q", r.device, r.reason, r.detail, r.lost, reason)
	}
}

func (r *recorder) ack(seq protocol.Seq) { r.stream.Ack(seq, "") }

// ackAll acks everything pushed so far.
func (r *recorder) ackAll() { r.stream.Ack(r.opened.Seq+protocol.Seq(len(r.ids())), "") }

const plenty = 1 << 40

// open opens a stream of alice's with credit for everything.
func (w *fixture) open(device string, edits ...func(*link.Open)) *recorder {
	w.t.Helper()
	r, err := w.tryOpen(device, edits...)
	if err != nil {
		w.t.Fatalf("open of %s: %v", device, err)
	}
	r.stream.Credit(plenty)
	return r
}

// attach opens a stream without credit.
func (w *fixture) attach(device string, edits ...func(*link.Open)) *recorder {
	w.t.Helper()
	r, err := w.tryOpen(device, edits...)
	if err != nil {
		w.t.Fatalf("open of %s: %v", device, err)
	}
	return r
}

func (w *fixture) tryOpen(device string, edits ...func(*link.Open)) (*recorder, error) {
	r := &recorder{t: w.t, w: w, device: protocol.DeviceID(device)}
	o := link.Open{User: alice, Device: r.device, Transport: protocol.TransportWS, Context: &protocol.DeviceContext{OS: "ios"}}
	for _, e := range edits {
		e(&o)
	}
	o.Route = w.route(o.User)
	var err error
	r.stream, r.opened, err = w.g.Open(context.Background(), o, r)
	return r, err
}

func at(cursor string) func(*link.Open) { return func(o *link.Open) { o.Cursor = cursor } }
func ofUser(u string) func(*link.Open)  { return func(o *link.Open) { o.User = protocol.UserID(u) } }
func over(t protocol.Transport) func(*link.Open) {
	return func(o *link.Open) { o.Transport = t }
}
func window(n int) func(*link.Open) { return func(o *link.Open) { o.Window = n } }
func counted(seq protocol.Seq, name string) func(*link.Open) {
	return func(o *link.Open) { o.HasSeq, o.Seq, o.Name = true, seq, name }
}
func context_(c protocol.DeviceContext) func(*link.Open) {
	return func(o *link.Open) { o.Context = &c }
}

// reopens is the re-open of r's socket: acked up to seq, the rest of what was pushed is sent.
func reopens(r *recorder, acked protocol.Seq) func(*link.Open) {
	return func(o *link.Open) {
		r.mu.Lock()
		defer r.mu.Unlock()
		o.Number, o.Seq, o.Acked = r.opened.Number, r.opened.Seq, r.opened.Cursor
		for _, p := range r.pushes {
			o.Seq = p.Seq
			if p.Seq <= acked {
				o.Acked = p.Cursor
				continue
			}
			o.Sent = append(o.Sent, link.Sent{Seq: p.Seq, Cursor: p.Cursor, Priority: p.Message.Priority, Bytes: len(p.Message.Payload)})
		}
	}
}

// ackBeside acks as POST /ramen/ack does.
func (w *fixture) ackBeside(device string, edit func(*link.Ack)) error {
	a := link.Ack{User: alice, Device: protocol.DeviceID(device)}
	edit(&a)
	a.Route = w.route(a.User)
	return w.g.Ack(context.Background(), a)
}

func byCursor(c string) func(*link.Ack) { return func(a *link.Ack) { a.Cursor = c } }
func bySeq(seq protocol.Seq, name string) func(*link.Ack) {
	return func(a *link.Ack) { a.Seq, a.Name = seq, name }
}

// look is what alice's mailbox has in memory; nothing where it is not there.
func (w *fixture) look() mailbox.Snapshot {
	s := &w.g.shards[w.route(alice).Shard]
	s.mu.Lock()
	b := s.boxes[alice]
	s.mu.Unlock()
	if b == nil {
		return mailbox.Snapshot{}
	}
	b.lock()
	defer b.unlock()
	return b.Snapshot(w.g.nowMS())
}

// allOfIt is a page that has room for whatever a test publishes.
var allOfIt = link.Page{Limit: 1 << 20}

// waiting is what waits for alice.
func (w *fixture) waiting() []string {
	w.t.Helper()
	page, err := w.g.Messages(context.Background(), w.route(alice), alice, allOfIt)
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make([]string, len(page.Messages))
	for i, m := range page.Messages {
		ids[i] = string(m.ID)
	}
	return ids
}

func (w *fixture) wantWaiting(ids ...string) {
	w.t.Helper()
	if have := w.waiting(); !slices.Equal(have, ids) {
		w.t.Fatalf("%v wait; want %v", have, ids)
	}
}

func (w *fixture) recall(id string) (bool, error) {
	return w.g.Recall(context.Background(), w.route(alice), alice, protocol.MessageID(id))
}

// unloadAll waits until idle mailboxes have left memory.
func (w *fixture) unloadAll() {
	w.t.Helper()
	w.sleep(w.cfg.MailboxIdle + 2*w.cfg.SaveInterval + 3*time.Second)
	if n := w.g.common.Ledger.Mailboxes.Load(); n != 0 {
		w.t.Fatalf("%d mailboxes are in memory; want none", n)
	}
	w.check()
}

func ids(prefix string, from, to int) []string {
	var list []string
	for i := from; i <= to; i++ {
		list = append(list, fmt.Sprintf("%s%d", prefix, i))
	}
	return list
}
