package cassandra

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/protocol"
	"ramen/store"
)

const (
	selectUsers = "SELECT DISTINCT shard, user, token(shard, user) FROM users WHERE token(shard, user) > ? LIMIT ?"
	// Who chooses names can choose two of one token.
	selectUsersAt = "SELECT DISTINCT shard, user, token(shard, user) FROM users WHERE token(shard, user) = ?"
)

// pageUsers is how many users a page has at most: a host is to have them within requestTimeout.
const pageUsers = 5000

// Users implements store.Enumerator, in the order of the partitions' tokens. A page is the last token before it.
func (s *Store) Users(ctx context.Context, page string, limit int) (users []store.ShardUser, next string, err error) {
	after := int64(math.MinInt64) // no partition has it
	if page != "" {
		after, err = strconv.ParseInt(page, 10, 64)
	}
	if err == nil {
		err = s.enter()
	}
	if err != nil {
		return nil, "", fmt.Errorf("store/cassandra: list users: %w", err)
	}
	defer s.calls.Done()
	limit = min(max(limit, 1), pageUsers)
	users, last, err := s.usersWhere(ctx, selectUsers, after, limit)
	if err == nil && len(users) == limit {
		next = strconv.FormatInt(last, 10)
		var same []store.ShardUser // some of them are in users already
		if same, _, err = s.usersWhere(ctx, selectUsersAt, last); len(same) > 1 {
			users = append(users, same...)
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("store/cassandra: list users: %w", err)
	}
	return users, next, nil
}

// usersWhere asks one host after the other.
func (s *Store) usersWhere(ctx context.Context, statement string, values ...any) (users []store.ShardUser, last int64, err error) {
	c := new(call)
	for n, waits := 0, 0; n < attempts; n++ {
		users, last, err = s.tryUsers(ctx, c, statement, values)
		var none *noHostError
		if errors.As(err, &none) && waits < mostWaits && pause(ctx, noHostPause) {
			c.forget()
			waits++
			n--
		} else if err == nil || ctx.Err() != nil || !faultOf(err).again {
			return users, last, err
		}
	}
	return users, last, err
}

// noHostError is that no host was asked.
type noHostError struct{ error }

func (e *noHostError) Unwrap() error { return e.error }

func (s *Store) tryUsers(ctx context.Context, c *call, statement string, values []any) (users []store.ShardUser, last int64, err error) {
	a := &attempt{Context: ctx, call: c}
	rows := s.session.Query(statement, values...).Consistency(gocql.LocalQuorum).IterContext(a)
	var shard int32
	var user string
	for rows.Scan(&shard, &user, &last) {
		users = append(users, store.ShardUser{Shard: protocol.ShardID(shard), User: protocol.UserID(user)})
	}
	err = rows.Close()
	s.note(a, err)
	if err != nil && a.host == nil {
		err = &noHostError{err}
	}
	return users, last, err
}
