package main

import (
	"context"
	"fmt"
	"sync"

	ramen "ramen/clients/go"
)

// cursorFile is the file of --cursor-file. A place that could not be saved is an error of the command: the next start would
// begin at an older one.
type cursorFile struct {
	ramen.FileCursor

	mu  sync.Mutex
	err error // guarded by mu: of the last save
}

// place is the cursor store that was asked for, found good; nil: none.
func (f *listenFlags) place() (*cursorFile, error) {
	if f.cursorFile == "" {
		return nil, nil
	}
	c := &cursorFile{FileCursor: ramen.FileCursor(f.cursorFile)}
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("listen: --cursor-file: %w", err)
	}
	return c, nil
}

// Save replaces the file.
func (c *cursorFile) Save(ctx context.Context, cursor string) error {
	err := c.FileCursor.Save(ctx, cursor)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = err
	return err
}

// failed is why the last place is not in the file.
func (c *cursorFile) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	return fmt.Errorf("listen: the cursor could not be saved to --cursor-file, so messages may come again: %w", c.err)
}

var _ ramen.CursorStore = (*cursorFile)(nil)
