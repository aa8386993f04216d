package judge

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// WriteViolations prints the first few of each kind, each with what became of its message.
func WriteViolations(w io.Writer, l *Log, r *Report, each int) {
	ix := newIndex(l)
	printed := make(map[Kind]int)
	for _, v := range r.Violations {
		if printed[v.Kind]++; printed[v.Kind] > each {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s/%s %s: %s\n", v.Kind, v.User, v.Device, v.ID, v.Text)
		if e := ix.entries[name{v.User, v.ID}]; e != nil {
			ix.history(w, e, v.Device)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(printed)) {
		if more := printed[k] - each; more > 0 {
			fmt.Fprintf(w, "\n%s: %d more\n", k, more)
		}
	}
}

// line is one event of a history.
type line struct {
	at   Moment
	text string
}

// history prints what happened to a message, and to what replaced it, in order: at one device, or with an empty name at all.
func (ix *index) history(w io.Writer, e *entry, device string) {
	fmt.Fprintf(w, "  %s %v key %q target %+q where %+q ttl %v\n", e.ID, e.Priority, e.Key, e.Target.Device, e.Target.Where, e.TTL)
	lines := ix.published(e, "")
	if r := e.replacedBy; r != nil {
		lines = append(lines, ix.published(r, "replacement "+r.ID+" ")...)
	}
	for _, d := range ix.log.Devices {
		if d.User == e.User && (device == "" || d.Name == device) {
			lines = append(lines, received(d, e)...)
			if device != "" && len(lines) > 0 {
				lines = append(lines, around(d, e)...)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	if len(lines) == 0 {
		return
	}
	from, to := lines[0].at, lines[len(lines)-1].at
	lines = append(lines, ix.killsWithin(from, to)...)
	lines = append(lines, ix.spansWithin(from, to)...)
	slices.SortStableFunc(lines, func(a, b line) int { return int(a.at - b.at) })
	for _, l := range lines {
		fmt.Fprintf(w, "  %12v  %s\n", l.at.Round(10_000), l.text)
	}
}

func (ix *index) published(e *entry, who string) []line {
	var lines []line
	for _, a := range e.Attempts {
		lines = append(lines, line{a.Sent, who + "sent over " + a.Over})
		if a.Answered != 0 {
			lines = append(lines, line{a.Answered, who + "answered: " + a.Status.String()})
		}
	}
	for _, r := range e.Recalls {
		lines = append(lines, line{r.Sent, who + "recall sent"})
		if r.Answered != 0 {
			lines = append(lines, line{r.Answered, fmt.Sprintf("%srecall answered: recalled is %v", who, r.Confirmed)})
		}
	}
	return lines
}

// received is when the device got e, the opening of that stream, and the acks that cover it.
func received(d *Device, e *entry) []line {
	var lines []line
	for i, s := range d.Streams {
		n := slices.IndexFunc(s.Pushes, func(p Push) bool { return p.ID == e.ID })
		if n < 0 {
			if s.From.Stream >= 0 && s.From.Stream < i && slices.ContainsFunc(d.Streams[s.From.Stream].Pushes[:s.From.Pushes], func(p Push) bool { return p.ID == e.ID }) {
				lines = append(lines, line{s.Opened, fmt.Sprintf("%s: stream %d over %s opened with a cursor that covers it; resumed is %v", d.Name, i, s.Transport, s.Resumed)})
			}
			continue
		}
		lines = append(lines,
			line{s.Opened, fmt.Sprintf("%s: stream %d over %s opened at the place %+v; resumed is %v", d.Name, i, s.Transport, s.From, s.Resumed)},
			line{s.Pushes[n].At, fmt.Sprintf("%s: push %d of stream %d, seq %d", d.Name, n, i, s.Pushes[n].Seq)})
		for _, a := range s.Acks {
			if a.Pushes > n {
				lines = append(lines, line{a.Sent, fmt.Sprintf("%s: ack of stream %d up to push %d, confirmed at %v", d.Name, i, a.Pushes-1, a.Confirmed)})
				break
			}
		}
	}
	return lines
}

// around are the device's last stream before the message was sent, and the two after it.
func around(d *Device, e *entry) []line {
	i, _ := slices.BinarySearchFunc(d.Streams, e.first, func(s *Stream, t Moment) int { return int(s.Opened - t) })
	var lines []line
	for n := max(0, i-1); n < min(i+2, len(d.Streams)); n++ {
		s := d.Streams[n]
		lines = append(lines,
			line{s.Opened, fmt.Sprintf("%s: stream %d over %s opened, greeted at %v, resumed is %v", d.Name, n, s.Transport, s.Greeted, s.Resumed)},
			line{s.Ended, fmt.Sprintf("%s: stream %d ended after %d pushes: %s", d.Name, n, len(s.Pushes), s.End)})
	}
	return lines
}

// killsWithin are the kills from one moment to another, a few at most.
func (ix *index) killsWithin(from, to Moment) []line {
	var lines []line
	for i, k := range ix.log.Kills {
		if k >= from && k <= to && len(lines) < 20 {
			lines = append(lines, line{k, fmt.Sprintf("kill -9, the %d.", i+1)})
		}
	}
	return lines
}

// spansWithin are the spans that have a moment from one to another.
func (ix *index) spansWithin(from, to Moment) []line {
	var lines []line
	for _, s := range ix.log.Spans {
		if s.From <= to && s.To >= from {
			lines = append(lines, line{s.From, s.What + " begins"}, line{s.To, s.What + " is over"})
		}
	}
	return lines
}
