package linktest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

// publishLog notes when publishes begin and end at a scripted gateway, and holds those that a test names.
type publishLog struct {
	mu    sync.Mutex
	calls []string
	holds map[string]*held
}

// held is a publish that the gateway has, until it is released.
type held struct{ begun, release chan struct{} }

func newPublishLog(gw *scripted) *publishLog {
	l := &publishLog{holds: make(map[string]*held)}
	gw.publish = func(_ context.Context, batch []link.Publish) []link.Result {
		var waits []*held
		l.mu.Lock()
		for _, p := range batch {
			l.calls = append(l.calls, "begin "+string(p.Message.ID))
			if h := l.holds[string(p.Message.ID)]; h != nil {
				waits = append(waits, h)
			}
		}
		l.mu.Unlock()
		for _, h := range waits {
			close(h.begun)
			<-h.release
		}
		results := make([]link.Result, len(batch))
		l.mu.Lock()
		defer l.mu.Unlock()
		for i, p := range batch {
			l.calls = append(l.calls, "end "+string(p.Message.ID))
			results[i] = link.Result{Status: link.StatusAccepted, Devices: int(p.TTLMS)}
		}
		return results
	}
	return l
}

func (l *publishLog) hold(id string) *held {
	h := &held{make(chan struct{}), make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holds[id] = h
	return h
}

// never fails where the publish of id has begun.
func (l *publishLog) never(t *testing.T, id string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.calls, "begin "+id) {
		t.Errorf("%s has begun: %v", id, l.calls)
	}
}

// want checks what has begun and ended, in order. Those that are not named do not matter.
func (l *publishLog) want(t *testing.T, calls ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var got []string
	for _, c := range l.calls {
		if slices.Contains(calls, c) {
			got = append(got, c)
		}
	}
	if strings.Join(got, ", ") != strings.Join(calls, ", ") {
		t.Errorf("the gateway did %v; want %v", got, calls)
	}
}

// messagesOf is a publish of each id to the user.
func messagesOf(user protocol.UserID, ids ...string) (batch []link.Publish) {
	for i, id := range ids {
		batch = append(batch, link.Publish{Route: route, User: user, TTLMS: int64(i + 1), Message: &protocol.Message{
			ID: protocol.MessageID(id), Priority: protocol.PriorityMedium, ContentType: protocol.ContentTypeJSON, Payload: []byte("{}")}})
	}
	return batch
}

// abandonedPublish: a publish whose caller has given up is not overtaken by the next to its user, which waits for it; those to other
// users do not.
func abandonedPublish(t *testing.T, gw *scripted, l link.Gateway) {
	log := newPublishLog(gw)
	first := log.hold("m1")
	ctx, giveUp := context.WithCancel(background)
	done := make(chan []link.Result, 1)
	go func() {
		l.Publish(ctx, messagesOf("u", "m1"))
		done <- l.Publish(background, messagesOf("u", "m2"))
	}()
	<-first.begun
	giveUp()
	for i := range 20 {
		if r := l.Publish(background, messagesOf("v", fmt.Sprint("other", i))); r[0].Status != link.StatusAccepted {
			t.Errorf("a publish to another user: %+v", r[0])
		}
	}
	log.never(t, "m2")
	close(first.release)
	if r := receive(t, done); r[0].Status != link.StatusAccepted {
		t.Errorf("the second: %+v", r[0])
	}
	log.want(t, "begin m1", "end m1", "begin m2", "end m2")
}

// publishesOfAll: batches of several users at once, of which each must have all of its answers, and each user's messages come in the
// order of his sender.
func publishesOfAll(t *testing.T, gw *scripted, l link.Gateway) {
	const senders, each = 8, 60
	log := newPublishLog(gw)
	var all sync.WaitGroup
	for s := range senders {
		all.Go(func() {
			own := protocol.UserID(fmt.Sprint("u", s))
			for i := range each {
				batch := messagesOf(own, fmt.Sprintf("%d.%d", s, i), fmt.Sprintf("%d.%d'", s, i))
				for k := range i % 4 { // and to users of others, and the same one twice
					batch = append(batch, messagesOf(protocol.UserID(fmt.Sprint("u", (s+k)%senders)), fmt.Sprintf("x%d.%d.%d", s, i, k))...)
				}
				for k := range batch {
					batch[k].TTLMS = int64(1000*s + 10*i + k + 1)
				}
				for k, r := range l.Publish(background, batch) {
					if r.Status != link.StatusAccepted || r.Devices != 1000*s+10*i+k+1 {
						t.Errorf("result %d of %s: %+v", k, batch[k].Message.ID, r)
					}
				}
			}
		})
	}
	all.Wait()
	for s := range senders {
		var want []string
		for i := range each {
			for _, id := range []string{fmt.Sprintf("%d.%d", s, i), fmt.Sprintf("%d.%d'", s, i)} {
				want = append(want, "begin "+id)
			}
		}
		log.want(t, want...)
	}
}
