package process

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ramen/clients/go/wire"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/topology"
)

// TestASilentNodeOfARedisClusterHoldsUpItsOwnUsersAlone: one master of three is stopped by SIGSTOP for 6 s, and its replica is not promoted.
// Users of other slots are published to and pushed to throughout. Its own are refused once their lease is over, and come back by themselves;
// all that was accepted reaches their devices. The process stays ready, says what it does not serve, and does not fill its log.
func TestASilentNodeOfARedisClusterHoldsUpItsOwnUsersAlone(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	c := redistest.StartCluster(t, redistest.Options{Config: redistest.Config{
		"cluster-node-timeout": "60000", "cluster-replica-no-failover": "yes", "cluster-require-full-coverage": "no"}})
	s := start(t, append(anyPorts.flags(), "--dev", "--data", t.TempDir(), "--store", c.URL(), "--route.deadline", "300ms")...)
	quiet := c.Nodes[0]
	var silent, others []*pushed
	for i := 0; len(silent) < 3 || len(others) < 6; i++ {
		user := fmt.Sprint("user-", i)
		master, _ := c.Serving(t, fmt.Sprintf("{%d}", topology.ShardOf(protocol.UserID(user), topology.DefaultShards)))
		if master == quiet && len(silent) < 3 {
			silent = append(silent, newPushed(t, s, user))
		} else if master != quiet && len(others) < 6 {
			others = append(others, newPushed(t, s, user))
		}
	}
	for _, p := range append(silent, others...) {
		if !p.publish() {
			t.Fatalf("%s: not accepted at first", p.user)
		}
	}
	logged := len(s.Err.String()) + len(s.Out.String())
	quiet.Pause(t)
	paused := time.Now()
	var publishers sync.WaitGroup
	var refused, told atomic.Int64
	for _, p := range others {
		publishers.Go(func() {
			for time.Since(paused) < 6*time.Second {
				if began := time.Now(); !p.publish() {
					t.Errorf("%s, of a node that answers, is refused %v after another fell silent", p.user, began.Sub(paused))
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for _, p := range silent {
		publishers.Go(func() {
			for time.Since(paused) < 6*time.Second {
				if began := time.Since(paused); !p.publish() && began > 4*time.Second {
					refused.Add(1)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	publishers.Go(func() {
		for time.Since(paused) < 6*time.Second {
			status, text := s.get(t, "/readyz")
			if status != http.StatusOK {
				t.Errorf("/readyz is %d %s", status, text)
			}
			if strings.HasPrefix(text, "ok\n") && strings.Contains(text, "of 1024 shards are not served") && strings.Contains(text, "cannot read the store's claims") {
				told.Add(1)
			}
			time.Sleep(200 * time.Millisecond)
		}
	})
	publishers.Wait()
	quiet.Continue(t)
	if refused.Load() == 0 || told.Load() == 0 {
		t.Errorf("%d publishes to users of the silent node were refused after 4 s; /readyz told of its shards %d times", refused.Load(), told.Load())
	}
	for _, p := range silent {
		for late := time.Now().Add(patience); !p.publish(); {
			if time.Now().After(late) {
				t.Fatalf("%s does not come back: %s", p.user, tail(s.Err.String()+s.Out.String()))
			}
		}
	}
	for _, p := range append(silent, others...) {
		p.awaitAll()
	}
	text := s.Err.String() + s.Out.String()
	if lines := strings.Count(text[logged:], "\n"); lines > 150 {
		t.Errorf("%d lines were logged: %s", lines, text[logged:][:3000])
	}
}

// pushed is a user with one device, which holds a stream.
type pushed struct {
	t      *testing.T
	s      *server
	user   string
	number int // of messages published; its publisher's

	mu       sync.Mutex
	accepted []string        // guarded by mu
	got      map[string]bool // guarded by mu
}

func newPushed(t *testing.T, s *server, user string) *pushed {
	p := &pushed{t: t, s: s, user: user, got: make(map[string]bool)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d := wire.Dialer{URL: "http://" + s.at.devices, Wait: 30 * time.Second}
	conn, err := d.Dial(ctx, wire.WSJSON, &protocol.OpenFrame{User: protocol.UserID(user), Device: "d"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { conn.Close(); <-done })
	go func() {
		defer close(done)
		for {
			var f protocol.ServerFrame
			if err := conn.Next(&f); err != nil {
				return
			}
			switch f.Kind {
			case protocol.ServerHeartbeat:
				_ = conn.Echo(f.TimeMS)
			case protocol.ServerPush:
				p.mu.Lock()
				p.got[string(f.Push.Message.ID)] = true
				p.mu.Unlock()
				_ = conn.Ack(context.Background(), f.Push.Seq, f.Push.Cursor) // a full window pushes no more
			}
		}
	}()
	return p
}

// publish publishes one message more, and reports whether it was accepted.
func (p *pushed) publish() bool {
	p.number++
	id := fmt.Sprintf("%s-%d", p.user, p.number)
	if !strings.Contains(publish(p.t, p.s, `{"user":"`+p.user+`","id":"`+id+`","payload":1}`), `"accepted"`) {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.accepted = append(p.accepted, id)
	return true
}

// awaitAll waits until all that was accepted was pushed.
func (p *pushed) awaitAll() {
	p.t.Helper()
	for late := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		p.mu.Lock()
		missing := ""
		for _, id := range p.accepted {
			if !p.got[id] {
				missing = id
			}
		}
		n := len(p.accepted)
		p.mu.Unlock()
		if missing == "" {
			return
		}
		if time.Now().After(late) {
			p.t.Errorf("%s: %s of %d that were accepted is not pushed", p.user, missing, n)
			return
		}
	}
}
