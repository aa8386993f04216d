package judge

import "slices"

// overtakers are a device's pushes that a message of one lane, had it been pending, should have come before: those of its own
// lane and of lower ones, in the order in which they were received.
type overtakers struct {
	at     []Moment // received
	behind []Moment // messages accepted before this should have come before it, or before an earlier one
}

func (o *overtakers) add(at, behind Moment) {
	if n := len(o.behind); n > 0 {
		behind = max(behind, o.behind[n-1])
	}
	o.at, o.behind = append(o.at, at), append(o.behind, behind)
}

// before is the latest moment so that what was accepted before it was overtaken by something received before at.
func (o *overtakers) before(at Moment) Moment {
	i, _ := slices.BinarySearch(o.at, at)
	if i == 0 {
		return 0
	}
	return o.behind[i-1]
}

// note remembers a push for the messages that it may have overtaken, but for those that its server may not have known of.
func (d *device) note(w *walk, e *entry, p *Push) {
	if d.unaware(w.Server, p.At) {
		return
	}
	lane := e.Priority.Lane()
	d.lanes[lane].add(p.At, e.first)
	for higher := range lane {
		d.lanes[higher].add(p.At, w.chosen)
	}
}

// due judges what the device should have got of its user's messages. SPEC 1.3, 2.6.1.
func (d *device) due() {
	known := always
	for _, s := range d.Streams {
		if s.Greeted != 0 {
			known = s.Greeted
			break
		}
	}
	sole := d.devices[d.User] == 1 // what comes before the first device waits for it
	mayTell := uint32(0)
	for _, e := range d.users[d.User] {
		if !e.stored || !e.isFor(d.Device) {
			continue
		}
		if e.TTL != 0 {
			mayTell++
		}
		if known > e.first && !sole {
			continue
		}
		d.judgeDue(e)
	}
	if d.told > mayTell {
		d.complain(Told, nil, "hellos told of %d expired messages: only %d for it can have expired", d.told, mayTell)
	}
}

// judgeDue judges one message that the device was due.
func (d *device) judgeDue(e *entry) {
	r, got := d.report, d.pushed[e]
	switch {
	case e.accepted == 0:
		r.UnknownDue++
		return
	case len(got) > 0:
		r.Due++
		r.Delivered++
	default:
		r.Due++
		if !d.excused(e) {
			return
		}
	}
	d.checkSkipped(e, got)
}

// excused says why a message never came: for what happened while the device still looked.
func (d *device) excused(e *entry) bool {
	r := d.report
	var looked Moment
	for _, s := range d.Streams {
		looked = max(looked, s.Ended)
	}
	reasons := 0
	count := func(n *int) { reasons++; *n++ }
	var expired, replaced, recalled int
	if d.mayExpire(e) < looked {
		count(&expired)
	}
	if e.mayBeReplaced < looked {
		count(&replaced)
	}
	if e.mayBeRecalled < looked {
		count(&recalled)
	}
	switch {
	case reasons == 0 && !d.isExcused(Missing, e) && d.mayBeForgotten(e):
		r.lose(Violation{Kind: Missing, User: d.User, Device: d.Name, ID: e.ID, Text: "the store may have lost that there is the device"})
		return false
	case reasons == 0:
		if !d.isExcused(Missing, e) {
			r.Missing++
		}
		d.complain(Missing, e, "it was accepted by %v and never came", e.accepted)
		return false
	case reasons > 1:
		r.ExcusedEither++
	default:
		r.ExcusedExpired += expired
		r.ExcusedReplaced += replaced
		r.ExcusedRecalled += recalled
	}
	return true
}

// checkSkipped finds a message that was pending while the device got others that it should have come before. So one that expired or
// was replaced is excused only if it was never passed over. SPEC 2.5.1.
func (d *device) checkSkipped(e *entry, got []ref) {
	until := d.mayBeGone(e)
	if len(got) > 0 {
		until = min(until, d.Streams[got[0].stream].Pushes[got[0].push].At)
	}
	if passed := d.lanes[e.Priority.Lane()].before(until); passed > e.accepted && len(got) == 0 && d.mayBeForgotten(e) {
		d.report.lost(Skipped)
	} else if passed > e.accepted {
		d.complain(Skipped, e, "it was accepted by %v and pending until %v, but one that it goes before was chosen at %v or later", e.accepted, until, passed)
	}
}
