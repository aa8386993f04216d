package fakes

import (
	"context"
	"errors"

	ramen "ramen/clients/go"
)

// Stores are the cursor stores of a scenario's clients, by name: those of one name share a place. It is not for several goroutines.
type Stores map[string]ramen.CursorStore

// The names of stores that do not work.
const (
	brokenLoad  broken = "broken:load"
	brokenSave  broken = "broken:save"
	brokenNever broken = "broken:never" // answers
)

// Named is the store of that name; none for the empty one.
func (s Stores) Named(name string) ramen.CursorStore {
	switch b := broken(name); b {
	case "":
		return nil
	case brokenLoad, brokenSave, brokenNever:
		return b
	}
	if s[name] == nil {
		s[name] = new(ramen.MemoryCursor)
	}
	return s[name]
}

// broken is a cursor store that does not work.
type broken string

// Load implements ramen.CursorStore.
func (b broken) Load(ctx context.Context) (string, error) {
	switch b {
	case brokenLoad:
		return "", errors.New("the disk is away")
	case brokenNever:
		<-ctx.Done()
		return "", ctx.Err()
	}
	return "", nil
}

// Save implements ramen.CursorStore.
func (b broken) Save(ctx context.Context, _ string) error {
	switch b {
	case brokenSave:
		return errors.New("the disk is full")
	case brokenNever:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}
