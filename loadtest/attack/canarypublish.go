package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"ramen/loadtest/stats"
	"ramen/protocol/ramenpb"
)

// publishEvery is the interval of a canary's publishes: to each user by HTTP and by gRPC in turn.
const publishEvery = 100 * time.Millisecond

// tryAgain is between two attempts of one publish.
const tryAgain = 10 * time.Millisecond

// voice publishes a message of high priority to one canary at an interval. What counts is the time from when it was due until
// it is accepted, by however many attempts: so a server that refuses it, or stops for a second, shows.
type voice struct {
	target *target
	user   string
	http   *http.Client
	grpc   ramenpb.BackendClient

	mu       sync.Mutex
	due      time.Time  // guarded by mu: of the publish that is next, or under way
	took     stats.Hist // guarded by mu
	accepted int        // guarded by mu
	refused  int        // guarded by mu: attempts
	last     string     // guarded by mu: the last refusal
}

func newVoice(t *target, user string) (v *voice, end func(), err error) {
	conn, err := grpc.NewClient(t.BackendsGRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, nil, fmt.Errorf("attack: dial: %w", err)
	}
	v = &voice{target: t, user: user, http: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}, grpc: ramenpb.NewBackendClient(conn)}
	return v, func() { v.http.CloseIdleConnections(); _ = conn.Close() }, nil
}

// sing publishes until ctx ends.
func (v *voice) sing(ctx context.Context) {
	due := time.Now()
	for n := 0; ctx.Err() == nil; n++ {
		v.next(due)
		sleep(ctx, time.Until(due))
		for ctx.Err() == nil {
			err := v.publish(ctx, n)
			if err == nil {
				v.done(time.Since(due))
				break
			}
			v.failed(ctx, err)
			sleep(ctx, tryAgain)
		}
		due = due.Add(publishEvery)
	}
}

func (v *voice) next(due time.Time) {
	v.mu.Lock()
	v.due = due
	v.mu.Unlock()
}

func (v *voice) publish(ctx context.Context, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if n%2 == 0 {
		accepted, err := v.target.publish(ctx, v.http, []message{{"user": v.user, "priority": "high", "payload": n, "ttl_ms": 10000}})
		if err == nil && accepted == 0 {
			err = fmt.Errorf("publish over http: rejected")
		}
		return err
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+v.target.Key)
	answer, err := v.grpc.Publish(ctx, &ramenpb.PublishRequest{Messages: []*ramenpb.Publish{{User: v.user, Priority: ramenpb.Priority_PRIORITY_HIGH, TtlMs: 10000}}})
	if err != nil {
		return err
	}
	if r := answer.Results[0]; r.Status != ramenpb.PublishResult_ACCEPTED {
		return fmt.Errorf("publish over grpc: %v", r.Error)
	}
	return nil
}

func (v *voice) done(took time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.took.Record(took.Microseconds())
	v.accepted++
}

func (v *voice) failed(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.refused++
	v.last = err.Error()
}

// measured adds to took, and returns how often publishes were refused since measuring began, and why last. A publish that still
// waits counts with the time that it has waited.
func (v *voice) measured(took *stats.Hist) (refused int, last string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if waits := time.Since(v.due); waits > 0 {
		v.took.Record(waits.Microseconds())
	}
	took.Merge(&v.took)
	return v.refused, v.last
}

func (v *voice) measure() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.took.Reset()
	v.accepted, v.refused = 0, 0
}

// choir is all canaries of a server.
type choir struct {
	streams []*canary
	voices  []*voice
	cancel  context.CancelFunc
	singing sync.WaitGroup
	ends    []func()
}

// newChoir starts the canaries and waits until each has a push.
func newChoir(ctx context.Context, t *target) (*choir, error) {
	ctx, cancel := context.WithCancel(ctx)
	c := &choir{cancel: cancel}
	for _, transport := range transports {
		s := &canary{target: t, transport: transport, user: canaryUser(transport)}
		v, end, err := newVoice(t, s.user)
		if err != nil {
			c.close()
			return nil, err
		}
		c.streams, c.voices, c.ends = append(c.streams, s), append(c.voices, v), append(c.ends, end)
		c.singing.Go(func() { s.sing(ctx) })
		c.singing.Go(func() { v.sing(ctx) })
	}
	if dead := c.alive(ctx); dead != "" {
		c.close()
		return nil, fmt.Errorf("attack: a canary gets nothing before the attack: %s", dead)
	}
	return c, nil
}

// aliveWithin is how long canaries have to show that they live.
const aliveWithin = 10 * time.Second

// alive waits until every canary has a further push, and says which has not.
func (c *choir) alive(ctx context.Context) (dead string) {
	before := make([]int, len(c.streams))
	for i, s := range c.streams {
		before[i] = s.received()
	}
	for end := time.Now().Add(aliveWithin); ; sleep(ctx, 10*time.Millisecond) {
		i := slices.IndexFunc(c.streams, func(s *canary) bool { return s.received() <= before[slices.Index(c.streams, s)] })
		if i < 0 {
			return ""
		}
		if time.Now().After(end) || ctx.Err() != nil {
			_, _, last := c.streams[i].measured()
			return fmt.Sprintf("%s, last end: %s; %s", c.streams[i].transport, last, c.voices[i].last)
		}
	}
}

func (c *choir) measure() {
	for i := range c.streams {
		c.streams[i].measure()
		c.voices[i].measure()
	}
}

func (c *choir) close() {
	c.cancel()
	c.singing.Wait()
	for _, end := range c.ends {
		end()
	}
}
