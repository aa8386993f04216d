package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

const (
	maxNamed   = 20 // rejected lines that are named
	barWidth   = 30 // the progress bar's, in characters
	showEvery  = 100 * time.Millisecond
	eraseLine  = "\r\033[K"
	minElapsed = time.Millisecond // for rates
)

// tally counts what became of a file's messages and, where a person watches, shows how far it is.
type tally struct {
	out                                     io.Writer
	size, done                              int64 // bytes; a size of 0 is not known
	start, showed                           time.Time
	bar                                     bool
	accepted, duplicates, rejected, unknown int
}

func newTally(out io.Writer, quiet bool) *tally {
	return &tally{out: out, start: time.Now(), bar: !quiet && isTerminal(out)}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (t *tally) reject(line int, err error) {
	t.rejected++
	switch {
	case t.rejected <= maxNamed:
		t.say("line %d: %v", line, err)
	case t.rejected == maxNamed+1:
		t.say("more lines are rejected; they are counted, not named")
	}
}

// say writes a line of its own.
func (t *tally) say(format string, args ...any) {
	if t.bar {
		fmt.Fprint(t.out, eraseLine)
	}
	fmt.Fprintf(t.out, format+"\n", args...)
}

func (t *tally) rate() float64 {
	return float64(t.accepted+t.duplicates+t.rejected) / max(time.Since(t.start), minElapsed).Seconds()
}

// show draws the bar anew, but not more often than one can see.
func (t *tally) show() {
	if !t.bar || time.Since(t.showed) < showEvery {
		return
	}
	t.showed = time.Now()
	fmt.Fprint(t.out, eraseLine+t.line())
}

func (t *tally) line() string {
	counts := fmt.Sprintf("%d accepted, %d rejected, %.0f/s", t.accepted+t.duplicates, t.rejected, t.rate())
	if t.size <= 0 {
		return counts
	}
	done := min(t.done, t.size)
	full := int(done * barWidth / t.size)
	return fmt.Sprintf("[%s%s] %3d %%  %s", strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), done*100/t.size, counts)
}

// end says what became of it all.
func (t *tally) end(quiet bool) {
	if t.bar {
		fmt.Fprint(t.out, eraseLine)
	}
	if quiet {
		return
	}
	unknown := ""
	if t.unknown > 0 {
		unknown = fmt.Sprintf(", %d not known", t.unknown)
	}
	fmt.Fprintf(t.out, "%d accepted, %d duplicates, %d rejected%s in %v (%.0f/s)\n",
		t.accepted, t.duplicates, t.rejected, unknown, time.Since(t.start).Round(time.Millisecond), t.rate())
}
