package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"ramen/store"
)

// Append waits for all answers of an Append, and panics where one comes twice.
func Append(ctx context.Context, s store.Store, batch []store.Append) []error {
	errs, answered := make([]error, len(batch)), make([]bool, len(batch))
	var mu sync.Mutex
	var all sync.WaitGroup
	all.Add(len(batch))
	s.Append(ctx, batch, func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if answered[i] {
			panic(fmt.Sprintf("storetest: a second answer to append %d of user %q: %v", i, batch[i].User, err))
		}
		errs[i], answered[i] = err, true
		all.Done()
	})
	all.Wait()
	return errs
}

// first is the first error of a call's elements.
func first(errs []error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}
