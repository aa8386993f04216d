package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"ramen/loadtest/ledger/judge"
)

// act is a part of a stage: a fault, a pair, or all that a schedule with a name of its own does.
type act struct {
	name     string
	from, to judge.Moment // to: all is over, and messages are accepted again
}

// begin begins an act. Messages that are first sent from now on, until the next one begins, are counted to it.
func (s *stage) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acts = append(s.acts, act{name: name, from: s.clock.Now()})
}

// end ends the act that is under way, as messages are accepted again. Until then, too, an owner can have lost its shards.
func (s *stage) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &s.acts[len(s.acts)-1]
	a.to = s.clock.Now()
	for i := range s.spans {
		if x := &s.spans[i]; (x.Owner || x.Silent) && x.From >= a.from {
			x.To = max(x.To, a.to+leaseOver)
		}
	}
}

// row is what became of the messages of one act. Pairs are of a message and a device.
type row struct {
	store, act string
	seed       uint64
	accepted   int // messages
	pushed     int // pairs
	missing    int // pairs: due, and never pushed
	lost       int // pairs: as missing, where the store may lose them as it is configured
	again      int // pushes of what the device had been pushed before: at least once
	refused    int // attempts to publish that were refused, unavailable, or not answered
	broken     int // promises, beside missing
	took       time.Duration
}

// tableHead is that of the table that rows make.
const tableHead = `| store | fault | accepted | pushed | missing | pushed again | refused | lost, as configured | other violations | seed | s |
| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
`

func (r row) write(w io.Writer) {
	fmt.Fprintf(w, "| %s | %s | %d | %d | %d | %d | %d | %d | %d | %d | %.1f |\n", r.store, r.act, r.accepted, r.pushed, r.missing, r.again, r.refused, r.lost,
		r.broken, r.seed, r.took.Seconds())
}

// notBack is the row of an act in a stage after which no message was accepted any more.
func notBack(store, act string, seed uint64) string {
	return fmt.Sprintf("| %s | %s | did not come back by itself | | | | | | | %d | |\n", store, act, seed)
}

// openTable opens a file to add rows to, and begins it where there is none.
func openTable(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("faults: open the table: %w", err)
	}
	if at, err := f.Seek(0, io.SeekEnd); err == nil && at == 0 {
		_, err = f.WriteString(tableHead)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("faults: begin the table: %w", err)
		}
	}
	return f, nil
}

// done names an act that a table has.
type done struct{ store, act string }

// readTable answers the acts that a file of openTable has with their figures; none where there is no file.
func readTable(path string) (map[done]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("faults: read the table: %w", err)
	}
	all := make(map[done]bool)
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		if _, err := strconv.Atoi(strings.TrimSpace(cells[3])); err == nil {
			all[done{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])}] = true
		}
	}
	return all, nil
}

// message is how a message is named.
type message struct{ user, id string }

// rows are what became of the messages of each act.
func rows(s *stage, l *judge.Log, r *judge.Report) []row {
	all := make([]row, len(s.acts))
	for i, a := range s.acts {
		all[i] = row{store: s.site.name, act: a.name, seed: s.cfg.Seed, took: a.to - a.from}
	}
	of := make(map[message]*row, len(l.Messages))
	for _, m := range l.Messages {
		at := 0
		for at+1 < len(all) && m.Attempts[0].Sent >= s.acts[at+1].from {
			at++
		}
		of[message{m.User, m.ID}] = &all[at]
		all[at].publish(m)
	}
	for _, d := range l.Devices {
		count(of, d)
	}
	last := &all[len(all)-1] // has what is of no message
	find := func(v judge.Violation) *row {
		if x := of[message{v.User, v.ID}]; x != nil {
			return x
		}
		return last
	}
	for _, v := range r.Violations {
		if v.Kind == judge.Missing {
			find(v).missing++
		} else {
			find(v).broken++
		}
	}
	for _, v := range r.LostMissing {
		find(v).lost++
	}
	return all
}

// publish counts what its publisher knows of a message.
func (r *row) publish(m *judge.Message) {
	accepted := false
	for _, a := range m.Attempts {
		switch a.Status {
		case judge.Accepted, judge.Duplicate:
			accepted = true
		default:
			r.refused++
		}
	}
	if accepted {
		r.accepted++
	}
}

// count counts what a device was pushed.
func count(of map[message]*row, d *judge.Device) {
	had := make(map[string]bool)
	for _, s := range d.Streams {
		for _, p := range s.Pushes {
			r := of[message{d.User, p.ID}]
			switch {
			case r == nil:
			case had[p.ID]:
				r.again++
			default:
				r.pushed++
			}
			had[p.ID] = true
		}
	}
}
