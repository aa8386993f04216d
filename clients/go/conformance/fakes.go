package main

import (
	"context"
	"errors"
	"sync"
)

// tokens answers with the first, and with the next one once the last was refused.
type tokens struct {
	mu  sync.Mutex
	all []string
	at  int
	// asked is how often the present one was handed out: the client asks again at once where it was refused.
	asked int
}

func (t *tokens) next(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked > 0 && t.at+1 < len(t.all) && t.all[t.at] != "" {
		t.at, t.asked = t.at+1, 0
	}
	t.asked++
	if t.all[t.at] == "" {
		return "", errors.New("there is no token yet")
	}
	return t.all[t.at], nil
}

func (t *tokens) advance(string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.asked = min(t.at+1, len(t.all)-1), 0
}

// broken is a cursor store that does not work.
type broken string

func (b broken) Load(ctx context.Context) (string, error) {
	switch b {
	case "broken:load":
		return "", errors.New("the disk is away")
	case "broken:never":
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "", nil
}

func (b broken) Save(ctx context.Context, _ string) error {
	switch b {
	case "broken:save":
		return errors.New("the disk is full")
	case "broken:never":
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}
