package testserver

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// finalError says that waiting on is of no use.
type finalError struct{ error }

// Await calls is until it answers nil. Where ctx ends before, it answers what is answered last.
func Await(ctx context.Context, is func() error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := is()
		var final *finalError
		if err == nil || errors.As(err, &final) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-ticker.C:
		}
	}
}
