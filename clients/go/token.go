package ramen

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// errToken is the app having no token to go on with. It says nothing of the network.
var errToken = errors.New("ramen: no token")

// errRefusedToken is the app answering with the token that the server has just refused. SPEC 2.13.3
var errRefusedToken = errors.New("the server refused the current token, and there is no new one yet")

// tokens asks the app for tokens, and never tries one twice that was refused.
type tokens struct {
	// immutable
	ask   func(ctx context.Context) (string, error) // nil: no tokens
	limit time.Duration                             // of one question

	mu      sync.Mutex
	refused string // guarded by mu
}

// next is the token to open a stream with.
func (t *tokens) next(ctx context.Context) (string, error) {
	if t.ask == nil {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	token, err := t.ask(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errToken, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if token == t.refused && token != "" {
		return "", fmt.Errorf("%w: %w", errToken, errRefusedToken)
	}
	return token, nil
}

// refuse remembers a token that the server does not take. It reports whether another one can be asked for.
func (t *tokens) refuse(token string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if token != "" {
		t.refused = token
	}
	return t.ask != nil
}

// expiry is when a JWT ends; zero where it cannot be told. It is read, not verified: that is the server's part.
func expiry(token string) time.Time {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(raw, &claims) != nil || claims.Exp <= 0 || claims.Exp > 1<<40 {
		return time.Time{}
	}
	return time.UnixMilli(int64(claims.Exp * 1000))
}

// How long before its end a token is renewed: a tenth of what it has left, within these.
const (
	leastLead = time.Second
	mostLead  = time.Minute
)

// lead is how long before end to ask for a new token, at now.
func lead(now, end time.Time) time.Duration {
	return min(max(end.Sub(now)/10, leastLead), mostLead)
}

// renew asks for a new token shortly before the stream's ends, and again until there is one, and hands it on. It ends
// with the stream, or with a token whose end cannot be told.
func (s *stream) renew() {
	for {
		old := s.currentToken()
		end := expiry(old)
		if end.IsZero() {
			return
		}
		early := lead(time.Now(), end)
		pause := time.Until(end) - early
		for {
			if !sleep(s.ctx, pause) || time.Now().After(end) {
				return // from then on the server ends the stream
			}
			token, err := s.dev.tokens.next(s.ctx)
			if err == nil && token != old && token != "" {
				s.setToken(token)
				break
			}
			pause = max(early/4, leastLead/4)
		}
	}
}

// sleep reports whether d has passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
