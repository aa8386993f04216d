package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	ramen "ramen/clients/go"
	"ramen/protocol"
)

// maxLine is the longest line taken, in bytes: the largest request of PROTOCOL 8.
const maxLine = 4 << 20

// chunkLines is how many lines are read ahead of their answers.
const chunkLines = 4096

// lines publishes a message a line, in order, with a progress bar where a person watches.
func (f *publishFlags) lines(ctx context.Context, p *ramen.Publisher, in io.Reader, errOut io.Writer) error {
	var size int64
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		defer file.Close()
		if st, err := file.Stat(); err == nil && st.Mode().IsRegular() {
			size = st.Size()
		}
		in = file
	}
	t := &tally{out: errOut, size: size, start: time.Now(), shown: !f.quiet && isTerminal(errOut)}
	err := f.chunks(ctx, p, in, t)
	t.end(f.quiet)
	if err != nil {
		return err
	}
	if t.rejected > 0 {
		return fmt.Errorf("publish: %d messages were rejected", t.rejected)
	}
	return nil
}

// numbered is a message and the line that it came from.
type numbered struct {
	line int
	m    ramen.Publication
}

func (f *publishFlags) chunks(ctx context.Context, p *ramen.Publisher, in io.Reader, t *tally) error {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), maxLine)
	var chunk []numbered
	for n := 1; s.Scan(); n++ {
		t.read += int64(len(s.Bytes())) + 1
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		m, err := f.parse(bytes.Clone(s.Bytes()))
		if err != nil {
			t.reject(n, err)
			continue
		}
		if chunk = append(chunk, numbered{n, m}); len(chunk) == chunkLines {
			if err := f.send(ctx, p, chunk, t); err != nil {
				return err
			}
			chunk = chunk[:0]
		}
	}
	if errors.Is(s.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("publish: a line is longer than %d bytes; what came before it was published", maxLine)
	}
	return errors.Join(s.Err(), f.send(ctx, p, chunk, t))
}

// send publishes a chunk and counts what became of it.
func (f *publishFlags) send(ctx context.Context, p *ramen.Publisher, chunk []numbered, t *tally) error {
	if len(chunk) == 0 {
		return nil
	}
	list := make([]ramen.Publication, len(chunk))
	lines := make([]int, 0, len(chunk)) // of each result
	for i, c := range chunk {
		list[i] = c.m
		for range max(1, len(c.m.Users)) {
			lines = append(lines, c.line)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	results, err := p.PublishAll(ctx, list)
	for i, r := range results {
		switch {
		case r.Err != nil:
			t.reject(lines[i], r.Err)
		case r.Status == protocol.PublishDuplicate:
			t.duplicates++
		case r.Status == protocol.PublishAccepted:
			t.accepted++
		}
	}
	t.show()
	if err != nil {
		return fmt.Errorf("publish: lines %d to %d: %w", chunk[0].line, chunk[len(chunk)-1].line, err)
	}
	return nil
}

// tally counts and shows how far a file is.
type tally struct {
	out                            io.Writer
	size, read                     int64
	start                          time.Time
	shown                          bool
	accepted, duplicates, rejected int
}

// maxNamed is how many rejected lines are named.
const maxNamed = 20

func (t *tally) reject(line int, err error) {
	t.rejected++
	if t.rejected <= maxNamed {
		if t.shown {
			fmt.Fprint(t.out, "\r\033[K")
		}
		fmt.Fprintf(t.out, "line %d: %v\n", line, err)
	}
}

func (t *tally) rate() float64 {
	return float64(t.accepted+t.duplicates+t.rejected) / max(time.Since(t.start).Seconds(), 1e-3)
}

// barWidth is the progress bar's, in characters.
const barWidth = 30

func (t *tally) show() {
	if !t.shown {
		return
	}
	bar := ""
	if t.size > 0 {
		done := int(min(t.read, t.size) * barWidth / t.size)
		bar = fmt.Sprintf("[%s%s] %3d %% ", bytes.Repeat([]byte("="), done), bytes.Repeat([]byte(" "), barWidth-done), min(t.read, t.size)*100/t.size)
	}
	fmt.Fprintf(t.out, "\r\033[K%s%d accepted, %.0f/s", bar, t.accepted, t.rate())
}

func (t *tally) end(quiet bool) {
	if t.shown {
		fmt.Fprint(t.out, "\r\033[K")
	}
	if quiet {
		return
	}
	fmt.Fprintf(t.out, "%d accepted, %d duplicates, %d rejected in %v (%.0f/s)\n",
		t.accepted, t.duplicates, t.rejected, time.Since(t.start).Round(time.Millisecond), t.rate())
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
