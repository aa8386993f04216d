package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	ramen "ramen/clients/go"
	"ramen/protocol"
)

const (
	maxLine    = 4 << 20 // bytes of a line: the largest request of SPEC 8.3.6
	aheadLines = 4096    // lines read ahead of their answers
	aheadBytes = 8 << 20 // or bytes
)

// lines publishes a message a line, in order. What is there goes together; a line that nothing follows goes at once, so
// that a pipe may stay open.
func (f *publishFlags) lines(ctx context.Context, p *ramen.Publisher, in io.Reader, t *tally) error {
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
		defer file.Close()
		if st, err := file.Stat(); err == nil && st.Mode().IsRegular() {
			t.size = st.Size()
		}
		in = file
	}
	q := newLineQueue()
	go q.read(in, f.parse) // ends with the input, or with the process: a read of a terminal cannot be interrupted
	err := f.send(ctx, p, q, t)
	t.end(f.quiet)
	if err == nil && t.rejected > 0 {
		err = fmt.Errorf("publish: %d messages were rejected", t.rejected)
	}
	return err
}

// send publishes what the queue has until it ends.
func (f *publishFlags) send(ctx context.Context, p *ramen.Publisher, q *lineQueue, t *tally) error {
	for {
		chunk, err := q.take(ctx)
		if len(chunk) > 0 {
			if err := f.sendChunk(ctx, p, chunk, t); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
}

// sendChunk publishes the good lines of a chunk and counts what became of each.
func (f *publishFlags) sendChunk(ctx context.Context, p *ramen.Publisher, chunk []line, t *tally) error {
	list := make([]ramen.Publication, 0, len(chunk))
	numbers := make([]int, 0, len(chunk)) // of the line of each result
	for _, l := range chunk {
		t.done += int64(l.size)
		if l.err != nil {
			t.reject(l.number, l.err)
			continue
		}
		list = append(list, l.message)
		for range max(1, len(l.message.Users)) {
			numbers = append(numbers, l.number)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	results, err := p.PublishAll(ctx, list)
	var refused *protocol.Error
	if errors.As(err, &refused) && ctx.Err() == nil { // of everything: the key, say
		t.rejected += len(numbers)
		return fmt.Errorf("publish: %w", err)
	}
	for i, r := range results {
		switch {
		case r.Status == protocol.PublishAccepted:
			t.accepted++
		case r.Status == protocol.PublishDuplicate:
			t.duplicates++
		case r.Err == nil || (err != nil && passing(r.Err)):
			t.unknown++
		default:
			t.reject(numbers[i], r.Err)
		}
	}
	t.show()
	if err != nil {
		return fmt.Errorf("%w (lines %d to %d)", f.gaveUp(err), chunk[0].number, chunk[len(chunk)-1].number)
	}
	return nil
}

// passing reports whether err is a refusal that would have been tried again.
func passing(err error) bool {
	var refused *protocol.Error
	return errors.As(err, &refused) && (refused.Code == protocol.CodeUnavailable || refused.Code == protocol.CodeResourceExhausted)
}

// line is a message, or what is wrong with it, and where it stood.
type line struct {
	number, size int
	message      ramen.Publication
	err          error
}

// lineQueue is what was read and not published yet, bounded by lines and bytes: beyond it the reader waits.
type lineQueue struct {
	mu    sync.Mutex
	moved sync.Cond // the reader waits for room
	lines []line
	size  int
	end   error         // io.EOF, or why no more is read
	news  chan struct{} // one token: lines or the end have come
}

func newLineQueue() *lineQueue {
	q := &lineQueue{news: make(chan struct{}, 1)}
	q.moved.L = &q.mu
	return q
}

// read fills the queue.
func (q *lineQueue) read(in io.Reader, parse func([]byte) (ramen.Publication, error)) {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), maxLine)
	number := 0
	var wide error
	for wide == nil && s.Scan() {
		number++
		text := s.Bytes()
		l := line{number: number, size: len(text) + 1}
		if number == 1 {
			if text, wide = withoutBOM(text); wide != nil {
				break
			}
		}
		if len(bytes.TrimSpace(text)) == 0 {
			continue
		}
		l.message, l.err = parse(bytes.Clone(text))
		q.put(l)
	}
	err := cmp.Or(wide, s.Err())
	switch {
	case err == nil:
		err = io.EOF
	case wide != nil:
	case errors.Is(err, bufio.ErrTooLong):
		err = fmt.Errorf("line %d is longer than %d bytes; the lines before it were published", number+1, maxLine)
	default:
		err = fmt.Errorf("read line %d: %w", number+1, err)
	}
	q.mu.Lock()
	q.end = err
	q.mu.Unlock()
	q.tell()
}

// withoutBOM is text without a byte order mark at its head, which editors write before UTF-8. Other encodings are refused.
func withoutBOM(text []byte) ([]byte, error) {
	if bytes.HasPrefix(text, []byte{0xFF, 0xFE}) || bytes.HasPrefix(text, []byte{0xFE, 0xFF}) {
		return nil, errors.New("the input has the byte order mark of UTF-16: save it as UTF-8")
	}
	return bytes.TrimPrefix(text, []byte("\xEF\xBB\xBF")), nil
}

func (q *lineQueue) put(l line) {
	q.mu.Lock()
	for len(q.lines) > 0 && (len(q.lines) >= aheadLines || q.size+l.size > aheadBytes) {
		q.moved.Wait()
	}
	q.lines = append(q.lines, l)
	q.size += l.size
	q.mu.Unlock()
	q.tell()
}

func (q *lineQueue) tell() {
	select {
	case q.news <- struct{}{}:
	default:
	}
}

// take waits for lines and takes all that are there. The error is io.EOF or why there will be no more.
func (q *lineQueue) take(ctx context.Context) ([]line, error) {
	select {
	case <-q.news:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	lines := q.lines
	q.lines, q.size = nil, 0
	q.moved.Signal()
	return lines, q.end
}
