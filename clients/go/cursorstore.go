package ramen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ramen/protocol"
)

// CursorStore keeps one device's place: the cursor of the last push that it has processed. A cursor that was lost, or is
// older than the last, costs duplicates and never a message, so it may be kept as cheaply as the app likes.
type CursorStore interface {
	// Load answers the cursor that was saved last; empty: none.
	Load(ctx context.Context) (string, error)
	// Save is called by the handler's goroutine, when nothing is left to process and at the latest every 64 messages.
	Save(ctx context.Context, cursor string) error
}

// FileCursor is a CursorStore in a file of its own. The file is replaced whole; it is not synced, see CursorStore.
type FileCursor string

// Load reads the file. One that is absent, or holds no cursor, is none.
func (f FileCursor) Load(context.Context) (string, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ramen: load cursor: %w", err)
	}
	cursor := strings.TrimSpace(string(b))
	if !protocol.ValidCursor(cursor) {
		return "", nil
	}
	return cursor, nil
}

// Save replaces the file.
func (f FileCursor) Save(_ context.Context, cursor string) error {
	t, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*")
	if err != nil {
		return fmt.Errorf("ramen: save cursor: %w", err)
	}
	_, err = t.WriteString(cursor + "\n")
	err = errors.Join(err, t.Close())
	if err == nil {
		err = os.Rename(t.Name(), string(f))
	}
	if err != nil {
		_ = os.Remove(t.Name())
		return fmt.Errorf("ramen: save cursor: %w", err)
	}
	return nil
}

// MemoryCursor is a CursorStore that lives as long as the process: for a Device that is made anew, and for tests.
type MemoryCursor struct {
	mu     sync.Mutex
	cursor string
}

// Load answers what was saved last.
func (m *MemoryCursor) Load(context.Context) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cursor, nil
}

// Save keeps cursor.
func (m *MemoryCursor) Save(_ context.Context, cursor string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursor = cursor
	return nil
}

var (
	_ CursorStore = FileCursor("")
	_ CursorStore = (*MemoryCursor)(nil)
)
