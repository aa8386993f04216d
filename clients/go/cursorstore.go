package ramen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"ramen/protocol"
)

// CursorStore keeps one device's place: the cursor of the last push that it has processed, or of hello before one. One that was lost, or is
// older than the last, costs duplicates and never a message, so it may be kept as cheaply as the app likes.
type CursorStore interface {
	// Load answers the cursor that was saved last; empty: none.
	Load(ctx context.Context) (string, error)
	// Save is called by the handler's goroutine, when nothing is left to process and at the latest every 64 messages.
	Save(ctx context.Context, cursor string) error
}

// FileCursor is a CursorStore in a file of its own. The file is replaced whole; it is not synced, see CursorStore.
type FileCursor string

// maxCursorFile is the most of a file that is read, in bytes: a cursor (SPEC 1.1.9) and the white space around it.
const maxCursorFile = 1 << 10

// Load reads the file. One that is absent or empty holds no cursor yet; one that holds anything else than a cursor is an error, since
// it is somebody else's.
func (f FileCursor) Load(context.Context) (string, error) {
	file, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ramen: load cursor: %w", err)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxCursorFile+1))
	if err != nil {
		return "", fmt.Errorf("ramen: load cursor: %w", err)
	}
	cursor := strings.Trim(string(b), " \t\r\n\x00") // a power cut may leave zeros
	if len(b) > maxCursorFile || (cursor != "" && !protocol.ValidCursor(cursor)) {
		return "", fmt.Errorf("ramen: load cursor: %s does not contain a cursor: remove it, or name another file", string(f))
	}
	return cursor, nil
}

// Check reports whether the file can be read, and replaced: it makes a file beside it and removes that.
func (f FileCursor) Check() error {
	if _, err := f.Load(context.Background()); err != nil {
		return err
	}
	if st, err := os.Stat(string(f)); err == nil && !st.Mode().IsRegular() {
		return fmt.Errorf("ramen: save cursor: %s is not a regular file: name one that can be replaced", string(f))
	}
	t, err := os.CreateTemp(filepath.Dir(string(f)), filepath.Base(string(f))+".*")
	if err != nil {
		return fmt.Errorf("ramen: save cursor: %w", err)
	}
	return errors.Join(t.Close(), os.Remove(t.Name()))
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
