package fakes

import (
	"context"
	"errors"
	"time"

	ramen "ramen/clients/go"
)

// Script is what the handler does with the message of an id.
type Script struct {
	Fail         int // how often it fails first
	SlowMS       int `json:"slow_ms"`
	Never, Close bool
}

// Handler does with each message what script says, after it has told of it; closing closes the client.
func Handler(script map[string]Script, told func(m *ramen.Message), closing func()) func(context.Context, *ramen.Message) error {
	failed := map[string]int{}
	return func(ctx context.Context, m *ramen.Message) error {
		told(m)
		id := string(m.ID)
		switch h := script[id]; {
		case failed[id] < h.Fail:
			failed[id]++
			return errors.New("as the scenario says")
		case h.Never:
			<-ctx.Done()
			return ctx.Err()
		case h.Close:
			closing()
		default:
			time.Sleep(time.Duration(h.SlowMS) * time.Millisecond) // a handler that is slow, as the scenario says
		}
		return nil
	}
}
