package route

import (
	"context"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"ramen/link"
	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/topologytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shards = 16

// script is a topology that a test moves by hand.
type script struct{ *topologytest.Settable }

func newScript(owner func(protocol.ShardID) topology.Shard) *script {
	s := &script{topologytest.NewSettable(shards)}
	s.move(owner)
	return s
}

func all(m topology.MemberID, epoch protocol.Epoch) func(protocol.ShardID) topology.Shard {
	return func(protocol.ShardID) topology.Shard { return topology.Shard{Member: m, Epoch: epoch} }
}

// move publishes a newer view. Owners join with it, and serve.
func (s *script) move(owner func(protocol.ShardID) topology.Shard) {
	s.Update(func(v *topology.View) {
		for i := range v.Shards {
			o := owner(protocol.ShardID(i))
			if o.Member != "" {
				o.State = topology.ShardServing
				if v.Members[o.Member] == nil {
					v.Members[o.Member] = &topology.Member{ID: o.Member, Address: string(o.Member), State: topology.MemberServing}
				}
			}
			v.Shards[i] = o
		}
	})
}

// members is the links of a test.
type members map[topology.MemberID]*member

func (m members) Dial(to *topology.Member) (link.Gateway, bool) {
	g, ok := m[to.ID]
	return g, ok
}

// member is a gateway that owns what a test says, remembers ids, and fails by script.
type member struct {
	link.Gateway
	mu       sync.Mutex
	owns     func(link.Route) bool
	below    protocol.Epoch // said with ErrNotOwner; 0: nothing is
	fail     []error        // of the next calls, nil for none; a lost one acts first
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

func (m *member) notOwner() error {
	if m.below == 0 {
		return link.ErrNotOwner
	}
	return &link.NotOwnerError{Reason: protocol.ReasonRebalance, Below: m.below}
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
			results[i] = link.Result{Status: link.StatusRejected, Err: m.notOwner()}
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
		err = m.notOwner()
	}
	return err == nil, err
}

func (m *member) Open(_ context.Context, o link.Open, _ link.Receiver) (link.Stream, link.Opened, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.others++
	err := m.nextLocked()
	if err == nil && !m.owns(o.Route) {
		err = m.notOwner()
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
