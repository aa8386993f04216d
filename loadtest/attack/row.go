package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// The bounds, on a machine with 2 processors.
const (
	mostMemory  = 300 << 20
	mostSilence = 5 * time.Second
	mostPublish = 500 * time.Millisecond
)

// busyOthers is how many processors others may take before times mean little.
const busyOthers = 0.3

// row is what came of one attack.
type row struct {
	Attack  attack
	Memory  int64 // most resident since the flood began
	Silence time.Duration
	Silent  string // which stream it was, and how often streams ended
	P99     time.Duration
	Refused int     // attempts of canaries to publish
	Why     string  // the last of these
	Dead    string  // who did not live on afterwards; empty: all did
	Did     string  // what the attacker did
	Others  float64 // how many processors processes took that had nothing to do with it
	Err     error   // it could not be tried
}

// missed says which bounds were missed.
func (r *row) missed() string {
	var m string
	add := func(what string, is bool) {
		if is {
			m += " " + what
		}
	}
	add("FAILED", r.Err != nil)
	add("DEAD", r.Dead != "")
	add("memory", r.Memory > mostMemory)
	add("silence", r.Silence > mostSilence)
	add("publish", r.P99 > mostPublish)
	return m
}

// write prints the table, and reports whether every row is good.
func write(w io.Writer, rows []*row) bool {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "attack\tmemory\tsilence\tpublish p99\tbounds\tothers\tthe attacker did\n")
	fmt.Fprintf(t, "(bound)\t%d MB\t%v\t%v\t\t\t\n", mostMemory>>20, mostSilence, mostPublish)
	good := true
	for _, r := range rows {
		verdict := "kept"
		if m := r.missed(); m != "" {
			verdict, good = "MISSED:"+m, false
		}
		fmt.Fprintf(t, "%s\t%d MB\t%v\t%v\t%s\t%.1f\t%s\n", r.Attack.name, r.Memory>>20, r.Silence.Round(10*time.Millisecond), r.P99.Round(time.Millisecond), verdict, r.Others, r.Did)
	}
	_ = t.Flush()
	if most := slices.MaxFunc(rows, func(a, b *row) int { return cmp.Compare(a.Others, b.Others) }).Others; most > busyOthers {
		fmt.Fprintf(w, "\nOther processes took up to %.1f processors: silence and p99 are theirs as much as the server's.\n", most)
	}
	for _, r := range rows {
		if r.missed() == "" {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n  longest silence: %s\n", r.Attack.name, r.Attack.what, r.Silent)
		if r.Refused > 0 {
			fmt.Fprintf(w, "  canaries' publishes refused: %d, the last: %s\n", r.Refused, r.Why)
		}
		if r.Dead != "" {
			fmt.Fprintf(w, "  dead afterwards: %s\n", r.Dead)
		}
		if r.Err != nil {
			fmt.Fprintf(w, "  %v\n", r.Err)
		}
	}
	return good
}
