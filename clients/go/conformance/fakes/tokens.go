package fakes

import (
	"context"
	"errors"
	"sync"
)

// Tokens hands out tokens: the first, and the next one once the last was refused.
type Tokens struct {
	All []string // empty: there is none yet

	mu sync.Mutex
	at int
	// asked is how often the present one was handed out: the client asks again at once where it was refused.
	asked int
}

// Next is the callback of a device.
func (t *Tokens) Next(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked > 0 && t.at+1 < len(t.All) && t.All[t.at] != "" {
		t.at, t.asked = t.at+1, 0
	}
	t.asked++
	if t.All[t.at] == "" {
		return "", errors.New("there is no token yet")
	}
	return t.All[t.at], nil
}

// Advance makes the next one the token, though nobody has refused the present one.
func (t *Tokens) Advance() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at, t.asked = min(t.at+1, len(t.All)-1), 0
}
