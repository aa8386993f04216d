package workers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"time"
)

// said is one line that a child writes: its progress, the outcome of an order, or an error.
type said struct {
	Progress *Progress `json:"progress,omitempty"`
	Outcome  *Outcome  `json:"outcome,omitempty"`
	Failed   string    `json:"failed,omitempty"`
}

// Command makes a process that calls Serve with its standard input and output, and the function that starts it.
type Command func() (cmd *exec.Cmd, start func() error, err error)

// child is a worker in a process of its own. It gets its setup and then orders, each as a line of JSON.
type child struct {
	cmd      *exec.Cmd
	in       io.WriteCloser
	answers  chan said // of one: an answer to an order; closed at its end
	progress atomic.Pointer[Progress]
	reading  sync.WaitGroup
}

func newChild(s Setup, command Command) (*child, error) {
	cmd, start, err := command()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, answers: make(chan said, 1)}
	if c.in, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("workers: start a worker: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("workers: start a worker: %w", err)
	}
	cmd.Stderr = os.Stderr
	if err := start(); err != nil {
		return nil, fmt.Errorf("workers: start a worker: %w", err)
	}
	c.progress.Store(new(Progress))
	c.reading.Go(func() { c.read(out) })
	if err := c.say(s); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *child) say(v any) error {
	if err := json.NewEncoder(c.in).Encode(v); err != nil {
		return fmt.Errorf("workers: write to a worker: %w", err)
	}
	return nil
}

func (c *child) read(out io.Reader) {
	defer close(c.answers)
	for lines := json.NewDecoder(bufio.NewReaderSize(out, 64<<10)); ; {
		var s said
		if lines.Decode(&s) != nil {
			return
		}
		if s.Progress != nil {
			c.progress.Store(s.Progress)
			continue
		}
		c.answers <- s
	}
}

// Do implements Worker.
func (c *child) Do(ctx context.Context, o Order) (*Outcome, error) {
	if err := c.say(o); err != nil {
		return nil, err
	}
	select {
	case s, ok := <-c.answers:
		switch {
		case !ok:
			return nil, errors.New("workers: a worker process has ended")
		case s.Failed != "":
			return nil, errors.New(s.Failed)
		}
		return s.Outcome, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Progress implements Worker.
func (c *child) Progress() Progress { return *c.progress.Load() }

// childEnd is how long a worker may take to close its streams.
const childEnd = 20 * time.Second

// Close closes the process's input, and kills it if it does not end.
func (c *child) Close() error {
	_ = c.in.Close()
	kill := time.AfterFunc(childEnd, func() { _ = c.cmd.Process.Kill() })
	defer kill.Stop()
	for range c.answers { // until it has closed its output
	}
	c.reading.Wait()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("workers: end a worker: %w", err)
	}
	return nil
}

// progressEvery is how often a child writes its progress.
const progressEvery = 500 * time.Millisecond

// Serve is a worker process: it carries out the orders from in until in ends.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := json.NewDecoder(in)
	say := &speaker{out: json.NewEncoder(out)}
	var s Setup
	if err := lines.Decode(&s); err != nil {
		return fmt.Errorf("workers: read the setup: %w", err)
	}
	l, err := NewLocal(s)
	if err != nil {
		say.line(said{Failed: err.Error()})
		return err
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(ctx)
	var telling sync.WaitGroup
	defer telling.Wait()
	defer cancel()
	if s.Watched {
		telling.Go(func() { say.progress(ctx, l) })
	}
	orders := make(chan Order)
	reading := make(chan error, 1)
	go func() { reading <- readOrders(ctx, cancel, lines, orders) }()
	for o := range orders {
		if outcome, err := l.Do(ctx, o); err != nil {
			say.line(said{Failed: err.Error()})
		} else {
			say.line(said{Outcome: outcome})
		}
	}
	return <-reading
}

// readOrders passes on orders until there are no more, and then cancels the one that runs.
func readOrders(ctx context.Context, cancel context.CancelFunc, lines *json.Decoder, orders chan<- Order) error {
	defer close(orders)
	defer cancel()
	for {
		var o Order
		if err := lines.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("workers: read an order: %w", err)
		}
		select {
		case orders <- o:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// speaker writes lines, one at a time.
type speaker struct {
	mu  sync.Mutex
	out *json.Encoder // guarded by mu
}

func (s *speaker) line(v said) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.out.Encode(v) // a parent that is gone ends the input, too
}

func (s *speaker) progress(ctx context.Context, l *Local) {
	t := time.NewTicker(progressEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			p := l.Progress()
			s.line(said{Progress: &p})
		}
	}
}
