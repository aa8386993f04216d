package simulation

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"ramen/loadtest/ledger/judge"
	"ramen/topology"
)

// outcome is what became of a schedule.
type outcome struct {
	wrong  []string
	events int
	trace  func() string
}

// run lives one schedule, in virtual time.
func run(t *testing.T, s *schedule) (o outcome) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, s)
		w.live()
		w.bus.mu.Lock()
		defer w.bus.mu.Unlock()
		o = outcome{w.bus.wrong, len(w.bus.events), w.bus.trace}
	})
	return o
}

func (w *world) live() {
	s := w.s
	for range s.Controllers {
		w.startController()
		w.sleep(time.Millisecond)
	}
	for i := range s.Gateways {
		w.startGateway(string(rune('a' + i)))
		w.sleep(time.Millisecond)
	}
	for range s.Frontends {
		w.startFrontend()
		w.sleep(time.Millisecond)
	}
	w.sleep(formed - time.Second)
	var users []string
	for i := range s.Users {
		users = append(users, fmt.Sprint("u", i))
	}
	for i := range s.DeviceCount {
		w.startDevice(users[i%len(users)], fmt.Sprint("d", i/len(users)), i%3 == 2)
	}
	for i := range 2 {
		w.startPublisher(i+1, users, s.Every, formed+traffic)
	}
	for i := range s.Acts {
		a := &s.Acts[i]
		w.sleep(a.At - time.Duration(w.bus.now()))
		if w.bus.isBroken() {
			break
		}
		w.bus.note(w.etcd, "act", uint64(a.Which), uint64(a.For), a.Name)
		w.do(a)
	}
	w.settle()
	w.close()
	w.judge()
}

func pick[T any](all []T, n int) (one T, is bool) {
	if len(all) == 0 {
		return one, false
	}
	return all[n%len(all)], true
}

// do does one act. What there is nothing for is left out.
func (w *world) do(a *act) {
	gs, fs := w.living()
	g, hasG := pick(gs, a.Which)
	f, hasF := pick(fs, a.Which/7)
	c, hasC := pick(w.controllers, a.Which)
	cut := func(from, to *node) {
		w.bus.cut(from, to, a.For)
		w.disturb(nil)
	}
	switch a.Name {
	case "kill gateway":
		if hasG {
			w.endGateway(g, true)
			w.startGateway(g.id.Name())
		}
	case "drain gateway":
		if hasG {
			w.endGateway(g, false)
			w.startGateway(g.id.Name())
		}
	case "add gateway":
		if len(gs) < 5 {
			w.startGateway(string(rune('a' + len(gs))))
		}
	case "pause gateway":
		if hasG {
			w.bus.pause(g.node, a.For)
			w.disturb(g.node)
		}
	case "pause frontend":
		if hasF {
			w.bus.pause(f.node, a.For)
			w.disturb(f.node)
		}
	case "pause controller":
		if hasC {
			w.bus.pause(c.node, a.For)
		}
	case "cut gateway from etcd":
		if hasG {
			cut(g.node, w.etcd)
		}
	case "slow etcd, then cut gateway from etcd":
		if hasG { // its last renewals are answered as late as may be
			slow := 600*time.Millisecond + a.For%(150*time.Millisecond)
			w.bus.cut(w.etcd, g.node, slow)
			w.bus.at(slow, func() { w.bus.cut(g.node, w.etcd, 4*time.Second) })
		}
	case "cut etcd from gateway":
		if hasG {
			cut(w.etcd, g.node)
		}
	case "cut gateway from store":
		if hasG {
			cut(g.node, w.store)
		}
	case "cut store from gateway":
		if hasG {
			cut(w.store, g.node)
		}
	case "cut gateway from frontend":
		if hasG && hasF {
			cut(g.node, f.node)
		}
	case "cut frontend from etcd":
		if hasF {
			cut(w.etcd, f.node)
		}
	case "cut controller from etcd":
		if hasC {
			cut(w.etcd, c.node)
		}
	case "kill frontend":
		if hasF {
			w.killFrontend(f)
			w.startFrontend()
		}
	case "kill controller":
		if hasC {
			w.controllers = append(w.controllers[:a.Which%len(w.controllers)], w.controllers[a.Which%len(w.controllers)+1:]...)
			w.endController(c, true)
			w.startController()
		}
	case "stop etcd":
		w.registry.SetDown(true)
		w.bus.at(a.For, func() { w.registry.SetDown(false) })
	case "wipe etcd":
		w.registry.Wipe()
	case "drop device":
		if d, is := pick(w.devices, a.Which); is {
			d.drop(a.For)
		}
	default:
		panic(a.Name)
	}
}

// settle waits until nothing is done any more, and then until each shard is served and all that was accepted has come, within a bound.
func (w *world) settle() {
	quiet := formed + traffic
	for _, a := range w.s.Acts {
		quiet = max(quiet, a.At+max(a.For, longest+time.Second))
	}
	w.sleep(quiet - time.Duration(w.bus.now()))
	for end := time.Now().Add(servedIn); ; w.sleep(look) {
		why := w.unsettled()
		if why == "" || w.bus.isBroken() {
			return
		}
		if time.Now().After(end) {
			w.bus.broken("after %v: %s", servedIn, why)
			return
		}
	}
}

// unsettled is what is not as it is to be yet; empty: nothing.
func (w *world) unsettled() string {
	gs, fs := w.living()
	if len(fs) == 0 || len(gs) == 0 {
		return "there is no frontend, or no gateway"
	}
	for i, s := range fs[0].views.View().Shards {
		if s.State != topology.ShardServing {
			return fmt.Sprintf("shard %d is %v at epoch %d of %s", i, s.State, s.Epoch, s.Member)
		}
	}
	if n := w.publishing.Load(); n > 0 {
		return fmt.Sprintf("%d publishers have no answer", n)
	}
	for _, d := range w.devices {
		if why := d.lacks(); why != "" {
			return why
		}
	}
	return ""
}

// lacks is what the device has not got yet.
func (d *device) lacks() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil || d.current.rec.Greeted == 0 {
		return d.node.name + " has no stream"
	}
	got, known, of := make(map[string]bool), moment(d.w.bus), 0
	for _, o := range d.w.devices {
		if o.rec.User == d.rec.User {
			of++
		}
	}
	for _, s := range d.rec.Streams {
		if s.Greeted != 0 {
			known = min(known, s.Greeted)
		}
		for i := range s.Pushes {
			got[s.Pushes[i].ID] = true
		}
	}
	d.w.mu.Lock()
	defer d.w.mu.Unlock()
	for _, m := range d.w.messages {
		if m.User != d.rec.User || got[m.ID] || len(m.Attempts) == 0 || of > 1 && m.Attempts[0].Sent < known { // else it waited for the first device
			continue
		}
		replaced := m.Key != "" && slices.ContainsFunc(d.w.messages, func(o *judge.Message) bool {
			return o != m && o.User == m.User && o.Key == m.Key && len(o.Attempts) > 0 && o.Attempts[len(o.Attempts)-1].Ended > m.Attempts[0].Sent
		})
		if !replaced {
			return d.node.name + " has not got " + m.ID
		}
	}
	return ""
}

// close ends all processes.
func (w *world) close() {
	w.mu.Lock()
	w.ended = true
	w.mu.Unlock()
	for _, d := range w.devices {
		d.mu.Lock()
		if s := d.current; s != nil {
			s.rec.Ended, s.over, d.current = moment(w.bus), true, nil
		}
		d.mu.Unlock()
	}
	gs, fs := w.living()
	for _, f := range fs {
		w.bus.kill(f.node)
		f.close()
	}
	for _, g := range gs {
		w.endGateway(g, true)
	}
	for _, c := range w.controllers {
		w.endController(c, true)
	}
	w.background.Wait()
	time.Sleep(10 * time.Second) // calls of the dead end by their deadlines
}

// judge has the judge of the load tests look at what publishers and devices have seen.
func (w *world) judge() {
	l := &judge.Log{Began: w.bus.began, Slack: time.Minute, Messages: w.messages,
		Spans: []judge.Span{{What: "the schedule", To: moment(w.bus), Owner: true}}} // owners change: acks that were not saved are forgotten
	for _, d := range w.devices {
		l.Devices = append(l.Devices, d.rec)
	}
	r := judge.Judge(l)
	if r.OK() {
		return
	}
	var b bytes.Buffer
	judge.WriteViolations(&b, l, r, 1)
	for _, v := range r.Violations {
		w.bus.wrong = append(w.bus.wrong, string(v.Kind))
	}
	w.bus.wrong = append(w.bus.wrong, b.String())
}
