package redistest

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
)

// answerWithin bounds one question to a server that may be paused.
const answerWithin = time.Second

// Move is the slot of a key on its way from one master to another. Keys of the slot that have moved are asked for at To: its old master
// answers ASK, and TRYAGAIN to a script whose keys are at both.
type Move struct {
	Slot     int
	From, To *Server

	c *Cluster
}

// BeginMove has the slot of a key begin to move. Its keys are still where they were; MoveKeys and End go on.
func (c *Cluster) BeginMove(t testserver.TB, key string, to *Server) *Move {
	t.Helper()
	from, _ := c.Serving(t, key)
	if from == to {
		t.Fatalf("redistest: move the slot of %q: it is there", key)
	}
	m := &Move{From: from, To: to, c: c}
	to.await(t, "take a slot", func(ctx context.Context, client *redis.Client) error {
		slot, err := client.ClusterKeySlot(ctx, key).Result()
		if err != nil {
			return err
		}
		m.Slot = int(slot)
		return client.Do(ctx, "CLUSTER", "SETSLOT", m.Slot, "IMPORTING", c.ids[from]).Err()
	})
	from.await(t, "give a slot away", func(ctx context.Context, client *redis.Client) error {
		return client.Do(ctx, "CLUSTER", "SETSLOT", m.Slot, "MIGRATING", c.ids[to]).Err()
	})
	return m
}

// MoveKeys moves up to count keys of the slot, and answers how many are left.
func (m *Move) MoveKeys(t testserver.TB, count int) (left int) {
	t.Helper()
	m.From.await(t, "move keys", func(ctx context.Context, client *redis.Client) error {
		keys, err := client.ClusterGetKeysInSlot(ctx, m.Slot, count).Result()
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			if err := client.Do(ctx, m.migrate(keys)...).Err(); err != nil {
				return fmt.Errorf("MIGRATE: %w", err)
			}
		}
		n, err := client.ClusterCountKeysInSlot(ctx, m.Slot).Result()
		left = int(n)
		return err
	})
	return left
}

// migrate is the command that moves keys.
func (m *Move) migrate(keys []string) []any {
	host, port, _ := net.SplitHostPort(m.To.Addr)
	command := []any{"MIGRATE", host, port, "", 0, testserver.Patience.Milliseconds()}
	switch o := m.To.Options; {
	case o.User != "":
		command = append(command, "AUTH2", o.User, o.Password)
	case o.Password != "":
		command = append(command, "AUTH", o.Password)
	}
	command = append(command, "KEYS")
	for _, key := range keys {
		command = append(command, key)
	}
	return command
}

// End moves the keys that are left, and tells all masters who serves the slot now.
func (m *Move) End(t testserver.TB) {
	t.Helper()
	for m.MoveKeys(t, 100) > 0 {
	}
	told := append([]*Server{m.To, m.From}, m.c.Nodes...) // the new owner first: else nobody serves the slot in between
	for _, n := range told {
		if !n.Running() {
			continue // it hears of it from the others
		}
		n.await(t, "hear who serves a slot", func(ctx context.Context, client *redis.Client) error {
			role, err := n.role(ctx)
			if err != nil || role != "master" {
				return err // a replica follows its master
			}
			return client.Do(ctx, "CLUSTER", "SETSLOT", m.Slot, "NODE", m.c.ids[m.To]).Err()
		})
	}
}

// MoveSlot moves the slot of a key to another master.
func (c *Cluster) MoveSlot(t testserver.TB, key string, to *Server) {
	t.Helper()
	c.BeginMove(t, key, to).End(t)
}
