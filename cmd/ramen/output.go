package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
)

// output is a command's standard output. It keeps the first error of a write, so that a command which does not look at its
// writes, or ends for another reason, still fails when what it printed did not arrive.
type output struct {
	w io.Writer

	mu  sync.Mutex
	err error // guarded by mu
}

// Write passes b on.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	if err != nil {
		o.mu.Lock()
		if o.err == nil {
			o.err = err
		}
		o.mu.Unlock()
		return n, fmt.Errorf("write standard output: %w", err)
	}
	return n, nil
}

// failed is the first error, but for a reader that has gone: "ramen listen | head -1" has printed what was asked for.
func (o *output) failed() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil || errors.Is(o.err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("write standard output: %w", o.err)
}

// fileOf is the file that w writes to, where it is one.
func fileOf(w io.Writer) (*os.File, bool) {
	if o, ok := w.(*output); ok {
		w = o.w
	}
	f, ok := w.(*os.File)
	return f, ok
}
