package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"ramen/store"
)

// Users implements store.Enumerator: by shard and user. A page is how many users were before it, as a number.
func (s *Store) Users(ctx context.Context, page string, limit int) (users []store.ShardUser, next string, err error) {
	skip := 0
	if page != "" {
		if skip, err = strconv.Atoi(page); err != nil {
			return nil, "", fmt.Errorf("store/memory: list users: page %q is none", page)
		}
	}
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if err := ctx.Err(); err != nil || s.closed.Load() {
		return nil, "", wrap("list users", cmp.Or(err, store.ErrClosed))
	}
	for k := range s.disk.boxes {
		users = append(users, store.ShardUser{Shard: k.shard, User: k.user})
	}
	slices.SortFunc(users, func(a, b store.ShardUser) int {
		return cmp.Or(cmp.Compare(a.Shard, b.Shard), cmp.Compare(a.User, b.User))
	})
	users = users[min(skip, len(users)):]
	if limit = max(limit, 1); len(users) > limit {
		users, next = users[:limit], strconv.Itoa(skip+limit)
	}
	return users, next, nil
}

// Adopt implements store.Adopter. A script is not asked.
func (s *Store) Adopt(_ context.Context, id store.Identity) error {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	switch {
	case s.closed.Load():
		return store.ErrClosed
	case id != s.disk.identity && s.disk.last > 0:
		return wrap("adopt", errors.New("the store was used before"))
	}
	s.disk.identity = id
	return nil
}
