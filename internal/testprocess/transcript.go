package testprocess

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// Transcript is what a process has written so far.
type Transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	over    bool
	changed chan struct{} // closed and replaced with each change
}

func newTranscript() *Transcript { return &Transcript{changed: make(chan struct{})} }

// Write implements io.Writer.
func (w *Transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	w.changedLocked()
	return len(b), nil
}

func (w *Transcript) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.changedLocked()
}

func (w *Transcript) changedLocked() {
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *Transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// Await waits until is reports true of the text; false: no more comes, or not in time.
func (w *Transcript) Await(is func(text string) bool) bool {
	late := time.After(Patience)
	for {
		w.mu.Lock()
		text, over, changed := w.text.String(), w.over, w.changed
		w.mu.Unlock()
		if is(text) {
			return true
		}
		if over {
			return false
		}
		select {
		case <-changed:
		case <-late:
			return false
		}
	}
}

// AwaitText waits until all of parts were written.
func (w *Transcript) AwaitText(t testing.TB, parts ...string) {
	t.Helper()
	if !w.Await(func(text string) bool {
		for _, p := range parts {
			if !strings.Contains(text, p) {
				return false
			}
		}
		return true
	}) {
		t.Fatalf("%q was not written, but:\n%s", parts, w)
	}
}
