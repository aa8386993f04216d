package testbed

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"time"

	"ramen/internal/localcluster"
	"ramen/loadtest/ledger/judge"
)

// lapsed is the line that a gateway writes whose lease has ended: with the shards go acks that it had not saved. On a busy machine, on which
// etcd is not answered in time, that happens while nothing is done to it, too.
var lapsed = regexp.MustCompile(`^time=(\S+) level=WARN msg="lost shards" shards=(\d+) .*the lease has ended`)

// findLapses reads in what gateways have written when their leases have ended.
func (b *Bed) findLapses(gateways ...*localcluster.Member) error {
	for _, m := range gateways {
		f, err := os.Open(m.Log())
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was never started
		}
		if err != nil {
			return fmt.Errorf("testbed: read what %s has written: %w", m.Name, err)
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if at, shards, is := lapseOf(lines.Text()); is {
				moment := at.Sub(b.clock.Began)
				b.mu.Lock()
				b.lapses = append(b.lapses, judge.Span{What: m.Name + " loses its lease, and " + shards + " shards", From: moment, To: moment, Lapsed: true})
				b.mu.Unlock()
			}
		}
		if err := errors.Join(lines.Err(), f.Close()); err != nil {
			return fmt.Errorf("testbed: read what %s has written: %w", m.Name, err)
		}
	}
	return nil
}

func lapseOf(line string) (at time.Time, shards string, is bool) {
	found := lapsed.FindStringSubmatch(line)
	if found == nil {
		return time.Time{}, "", false
	}
	at, err := time.Parse(time.RFC3339Nano, found[1])
	return at, found[2], err == nil
}

// LapsesAlone is how often a gateway has lost its lease while nothing was done.
func LapsesAlone(l *judge.Log) (n int) {
	for _, lapse := range l.Spans {
		if !lapse.Lapsed {
			continue
		}
		excused := false
		for _, s := range l.Spans {
			excused = excused || s.Owner && s.From <= lapse.From && lapse.From <= s.To && !strings.HasPrefix(s.What, "gateways-killed")
		}
		if !excused {
			n++
		}
	}
	return n
}
