package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
)

// Replicated is a master with replicas.
type Replicated struct {
	Master   *Server // as started: a fail-over does not change it
	Replicas []*Server
}

// WithReplicas starts a master with replicas, and waits until they follow it.
func WithReplicas(t testserver.TB, o Options, replicas int) *Replicated {
	t.Helper()
	ca := authority(o)
	r := &Replicated{Master: prepare(t, o, ca)}
	for range replicas {
		r.Replicas = append(r.Replicas, prepare(t, o.with(Config{"replicaof": "127.0.0.1 " + port(t, r.Master.Addr)}), ca))
	}
	startAll(t, r.Servers())
	for _, s := range r.Replicas {
		s.AwaitFollowing(t)
	}
	return r
}

// Servers are all, the master first.
func (r *Replicated) Servers() []*Server { return append([]*Server{r.Master}, r.Replicas...) }

// startAll starts servers at once, and waits until all serve.
func startAll(t testserver.TB, servers []*Server) {
	t.Helper()
	for _, s := range servers {
		s.Launch(t)
	}
	for _, s := range servers {
		s.AwaitReady(t)
	}
}

// AwaitFollowing waits until the server is a replica that has its master's data and follows it.
func (s *Server) AwaitFollowing(t testserver.TB) {
	t.Helper()
	s.await(t, "follow its master", func(ctx context.Context, c *redis.Client) error {
		return infoHas(ctx, c, "replication", "role:slave", "master_link_status:up")
	})
}

// await polls the server until is answers nil.
func (s *Server) await(t testserver.TB, what string, is func(context.Context, *redis.Client) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	c := redis.NewClient(s.ClientOptions())
	defer c.Close()
	if err := testserver.Await(ctx, func() error { return is(ctx, c) }); err != nil {
		t.Fatalf("redistest: %s does not %s: %v; it wrote:\n%s", s.Addr, what, err, s.LogTail())
	}
}

// infoHas is nil where a section of INFO has all lines.
func infoHas(ctx context.Context, c *redis.Client, section string, lines ...string) error {
	info, err := c.Info(ctx, section).Result()
	if err != nil {
		return err
	}
	for _, line := range lines {
		if !strings.Contains(info, line+"\r\n") {
			return fmt.Errorf("no %q in:\n%s", line, info)
		}
	}
	return nil
}

// StopReplication cuts a replica from its master and keeps it from coming back, so that it lags behind: its master refuses the password
// that it now gives. It answers clients and votes, and can be promoted.
func (s *Server) StopReplication(t testserver.TB) {
	t.Helper()
	s.await(t, "stop its replication", func(ctx context.Context, c *redis.Client) error {
		if err := c.ConfigSet(ctx, "masterauth", "not the password").Err(); err != nil {
			return err
		}
		if err := c.ClientKillByFilter(ctx, "TYPE", "master").Err(); err != nil {
			return err
		}
		return infoHas(ctx, c, "replication", "role:slave", "master_link_status:down")
	})
}

// ResumeReplication lets a replica follow a master again after StopReplication. It does not wait.
func (s *Server) ResumeReplication(t testserver.TB) {
	t.Helper()
	s.await(t, "resume its replication", func(ctx context.Context, c *redis.Client) error {
		return c.ConfigSet(ctx, "masterauth", s.Options.Password).Err()
	})
}

// role answers master or slave.
func (s *Server) role(ctx context.Context) (string, error) {
	c := redis.NewClient(s.ClientOptions())
	defer c.Close()
	answer, err := c.Do(ctx, "ROLE").Slice()
	if err != nil {
		return "", err
	}
	role, is := answer[0].(string)
	if !is {
		return "", errors.New("ROLE is answered without a role")
	}
	return role, nil
}
