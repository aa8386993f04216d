package route

import (
	"context"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a topology that a test moves by hand.
type script struct {
	mu      sync.Mutex
	view    *topology.View
	changed chan struct{}
}

const shards = 16

func newScript(owner func(protocol.ShardID) topology.Shard) *script {
	s := &script{changed: make(chan struct{})}
	s.view = &topology.View{Version: 1, Shards: make([]topology.Shard, shards)}
	for i := range s.view.Shards {
		s.view.Shards[i] = owner(protocol.ShardID(i))
	}
	return s
}

func all(m topology.MemberID, epoch protocol.Epoch) func(protocol.ShardID) topology.Shard {
	return func(protocol.ShardID) topology.Shard { return topology.Shard{Member: m, Epoch: epoch} }
}

// move publishes a newer view.
func (s *script) move(owner func(protocol.ShardID) topology.Shard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &topology.View{Version: s.view.Version + 1, Shards: make([]topology.Shard, shards)}
	for i := range next.Shards {
		next.Shards[i] = owner(protocol.ShardID(i))
	}
	s.view = next
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *script) View() *topology.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

func (s *script) Changed(v *topology.View) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.view != v {
		c := make(chan struct{})
		close(c)
		return c
	}
	return s.changed
}

// members is the links of a test.
type members map[topology.MemberID]*member

func (m members) Gateway(id topology.MemberID) (link.Gateway, bool) {
	g, ok := m[id]
	return g, ok
}

// member is a gateway that owns what a test says, remembers ids, and fails by script.
type member struct {
	link.Gateway
	mu       sync.Mutex
	owns     func(link.Route) bool
	fail     []error // of the next calls, nil for none; a lost one acts first
	calls    [][]link.Publish
	seen     map[string]bool
	hang     bool // calls answer when their context ends
	accepted []protocol.MessageID
	others   int // calls of anything but Publish
}

func newMember() *member {
	return &member{owns: func(link.Route) bool { return true }, seen: make(map[string]bool)}
}

func (m *member) own(owns func(link.Route) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owns = owns
}

// next is how the script has the call that comes now fail. Call with mu held.
func (m *member) nextLocked() error {
	if len(m.fail) == 0 {
		return nil
	}
	err := m.fail[0]
	m.fail = m.fail[1:]
	return err
}

func (m *member) Publish(ctx context.Context, batch []link.Publish) []link.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.calls = append(m.calls, batch)
	results := make([]link.Result, len(batch))
	if m.hang {
		m.mu.Unlock()
		<-ctx.Done()
		m.mu.Lock()
		for i := range results {
			results[i] = link.Result{Status: link.StatusRejected, Err: ctx.Err()}
		}
		return results
	}
	err := m.nextLocked()
	for i, p := range batch {
		key := string(p.User) + " " + string(p.Message.ID)
		switch {
		case err != nil && err != link.ErrLost:
			results[i] = link.Result{Status: link.StatusRejected, Err: err}
			continue
		case !m.owns(p.Route):
			results[i] = link.Result{Status: link.StatusRejected, Err: link.ErrNotOwner}
			continue
		case m.seen[key]:
			results[i] = link.Result{Status: link.StatusDuplicate, Devices: 1}
		default:
			m.seen[key] = true
			m.accepted = append(m.accepted, p.Message.ID)
			results[i] = link.Result{Status: link.StatusAccepted, Devices: 1}
		}
		if err == link.ErrLost {
			results[i] = link.Result{Status: link.StatusRejected, Err: err}
		}
	}
	return results
}

func (m *member) Recall(ctx context.Context, at link.Route, _ protocol.UserID, _ protocol.MessageID) (bool, error) {
	m.mu.Lock()
	m.others++
	hang, owns, err := m.hang, m.owns(at), m.nextLocked()
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
		return false, ctx.Err()
	}
	if err == nil && !owns {
		err = link.ErrNotOwner
	}
	return err == nil, err
}

func (m *member) Open(_ context.Context, o link.Open, _ link.Receiver) (link.Stream, link.Opened, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.others++
	err := m.nextLocked()
	if err == nil && !m.owns(o.Route) {
		err = link.ErrNotOwner
	}
	return nil, link.Opened{Name: "s"}, err
}

// messages is a batch of one message a user.
func messages(users ...string) []link.Publish {
	batch := make([]link.Publish, len(users))
	for i, u := range users {
		batch[i] = link.Publish{User: protocol.UserID(u), TTLMS: 1000, Message: &protocol.Message{ID: protocol.MessageID("m-" + u), Priority: protocol.PriorityHigh}}
	}
	return batch
}
