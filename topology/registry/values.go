package registry

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/registry/registrypb"
)

// The keys. Those that end with a / are of one member or shard each.
const (
	ShardsKey      = "shards"
	ViewKey        = "view"
	LeaderKey      = "leader"
	GatewaysKey    = "gateways/"
	HoldingsKey    = "holdings/"
	FrontendsKey   = "frontends/"
	ControllersKey = "controllers/"
	DrainingKey    = "draining/"
	PinsKey        = "pins/"
)

// Gateway is what a gateway, or a frontend or controller, says of itself.
type Gateway struct {
	topology.Member
	Epoch     protocol.Epoch    // the highest that its store knows; 0: none
	Past      Past              // what it has seen of a registry that was lost
	StartedMS int64             // Unix ms
	Addresses map[string]string // of its ports, by name
	Load      Load
}

// OperatorsPort names the port in Addresses that operators ask.
const OperatorsPort = "operators"

// Load is what a member does, as it was when it looked last. It is for operators alone: nothing follows from it.
type Load struct {
	ViewVersion uint64  // of the newest view that it has
	Streams     int64   // of devices that are open
	Mailboxes   int64   // in memory
	Accepted    float64 // messages a second
	Pushed      float64 // pushes a second
}

// Past is the last view that a member has of a registry that was lost, and replaced by a new one: what comes must be above it. Zero: there
// was none.
type Past struct {
	Epoch   protocol.Epoch // the highest of a shard
	Version uint64
}

// LoadEvery is how often a member tells its load, in a registry of so many keys: each change goes to every member, so that all of a large cluster
// together tell 20 times a second at most.
func LoadEvery(keys int) time.Duration {
	return max(5*time.Second, time.Duration(keys)*50*time.Millisecond)
}

// State is what a gateway says of a shard.
type State uint8

// What a gateway says of a shard that it was given at an epoch.
const (
	Serving  State = iota + 1 // it serves it
	Released                  // it has given it up in order: all that it had is in the store
	Lost                      // it serves it no more, or could not take it
)

// String is the state's name.
func (s State) String() string {
	switch s {
	case Serving:
		return "serving"
	case Released:
		return "released"
	case Lost:
		return "lost"
	}
	return "none"
}

// Holding is what a gateway says of one shard.
type Holding struct {
	Epoch protocol.Epoch // at which it had been given it
	State State
	Below protocol.Epoch // where not Serving: nobody serves it at an epoch below, as far as is known there
}

// Holdings is what a gateway says of its shards.
type Holdings map[protocol.ShardID]Holding

func ofMember(m topology.Member) *registrypb.Member {
	return &registrypb.Member{Id: string(m.ID), Address: m.Address, Zone: m.Zone, Weight: m.Weight, Version: m.Version, State: uint32(m.State)}
}

func toMember(p *registrypb.Member) (topology.Member, error) {
	m := topology.Member{ID: topology.MemberID(p.GetId()), Address: p.GetAddress(), Zone: p.GetZone(), Weight: p.GetWeight(), Version: p.GetVersion(), State: topology.MemberState(p.GetState())}
	if m.ID == "" || m.State > topology.MemberGone {
		return m, fmt.Errorf("registry: member %q is in state %d: it must have an id, and a state up to %d", m.ID, m.State, topology.MemberGone)
	}
	return m, nil
}

func marshal(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic("registry: " + err.Error()) // its strings come from here: they are UTF-8
	}
	return b
}

// Encode is g as a value.
func (g Gateway) Encode() []byte {
	p := ofMember(g.Member)
	p.Epoch, p.PastEpoch, p.PastVersion, p.StartedMs, p.Addresses = uint64(g.Epoch), uint64(g.Past.Epoch), g.Past.Version, g.StartedMS, g.Addresses
	if l := g.Load; l != (Load{}) {
		p.Load = &registrypb.Load{ViewVersion: l.ViewVersion, Streams: l.Streams, Mailboxes: l.Mailboxes, Accepted: l.Accepted, Pushed: l.Pushed}
	}
	return marshal(p)
}

// DecodeGateway is the gateway that b is.
func DecodeGateway(b []byte) (Gateway, error) {
	var p registrypb.Member
	if err := proto.Unmarshal(b, &p); err != nil {
		return Gateway{}, fmt.Errorf("registry: member: %w", err)
	}
	m, err := toMember(&p)
	return Gateway{Member: m, Epoch: protocol.Epoch(p.GetEpoch()), Past: Past{protocol.Epoch(p.GetPastEpoch()), p.GetPastVersion()},
		StartedMS: p.GetStartedMs(), Addresses: p.GetAddresses(), Load: toLoad(p.GetLoad())}, err
}

func toLoad(p *registrypb.Load) Load {
	return Load{ViewVersion: p.GetViewVersion(), Streams: p.GetStreams(), Mailboxes: p.GetMailboxes(), Accepted: p.GetAccepted(), Pushed: p.GetPushed()}
}

// EncodeView is v as a value.
func EncodeView(v *topology.View) []byte {
	p := &registrypb.View{Version: v.Version, Owners: make([]uint32, len(v.Shards)), Epochs: make([]uint64, len(v.Shards)), States: make([]uint32, len(v.Shards))}
	index := make(map[topology.MemberID]uint32, len(v.Members))
	for _, id := range sortedMembers(v) {
		p.Members = append(p.Members, ofMember(*v.Members[id]))
		index[id] = uint32(len(p.Members))
	}
	for i, s := range v.Shards {
		p.Owners[i], p.Epochs[i], p.States[i] = index[s.Member], uint64(s.Epoch), uint32(s.State)
	}
	return marshal(p)
}

// DecodeView is the view that b is.
func DecodeView(b []byte) (*topology.View, error) {
	var p registrypb.View
	if err := proto.Unmarshal(b, &p); err != nil {
		return nil, fmt.Errorf("registry: view: %w", err)
	}
	n := len(p.Owners)
	if len(p.Epochs) != n || len(p.States) != n {
		return nil, fmt.Errorf("registry: view %d has %d owners, %d epochs and %d states: they must be as many", p.Version, n, len(p.Epochs), len(p.States))
	}
	v := &topology.View{Version: p.Version, Shards: make([]topology.Shard, n), Members: make(map[topology.MemberID]*topology.Member, len(p.Members))}
	ids := make([]topology.MemberID, 1, len(p.Members)+1)
	for _, m := range p.Members {
		member, err := toMember(m)
		if err != nil {
			return nil, err
		}
		v.Members[member.ID] = &member
		ids = append(ids, member.ID)
	}
	for i, o := range p.Owners {
		if int(o) >= len(ids) {
			return nil, fmt.Errorf("registry: view %d: the owner of shard %d is member %d of %d", p.Version, i, o, len(ids)-1)
		}
		v.Shards[i] = topology.Shard{Member: ids[o], Epoch: protocol.Epoch(p.Epochs[i]), State: topology.ShardState(p.States[i])}
	}
	return v, v.Check()
}

// Encode is h as a value. view is the version of the view that it follows from.
func (h Holdings) Encode(view uint64) []byte {
	p := &registrypb.Holdings{ViewVersion: view}
	for _, id := range sortedShards(h) {
		x := h[id]
		p.Shards, p.Epochs = append(p.Shards, uint32(id)), append(p.Epochs, uint64(x.Epoch))
		p.States, p.Below = append(p.States, uint32(x.State)), append(p.Below, uint64(x.Below))
	}
	return marshal(p)
}

// DecodeHoldings is the holdings that b is.
func DecodeHoldings(b []byte) (h Holdings, view uint64, err error) {
	var p registrypb.Holdings
	if err := proto.Unmarshal(b, &p); err != nil {
		return nil, 0, fmt.Errorf("registry: holdings: %w", err)
	}
	n := len(p.Shards)
	if len(p.Epochs) != n || len(p.States) != n || len(p.Below) != n {
		return nil, 0, errors.New("registry: holdings: fields of different lengths")
	}
	h = make(Holdings, n)
	for i, id := range p.Shards {
		h[protocol.ShardID(id)] = Holding{Epoch: protocol.Epoch(p.Epochs[i]), State: State(p.States[i]), Below: protocol.Epoch(p.Below[i])}
	}
	return h, p.ViewVersion, nil
}

// EncodeShards is the number of shards of a cluster, and the identity of its registry, as a value.
func EncodeShards(n int, id string) []byte {
	return marshal(&registrypb.Cluster{Shards: uint32(n), Id: id})
}

// DecodeShards is the number of shards and the identity that b is.
func DecodeShards(b []byte) (n int, id string, err error) {
	var p registrypb.Cluster
	if err := proto.Unmarshal(b, &p); err != nil {
		return 0, "", fmt.Errorf("registry: number of shards: %w", err)
	}
	if p.Shards == 0 || p.Id == "" {
		return 0, "", fmt.Errorf("registry: the cluster %q has %d shards: it must have a name, and at least one", p.Id, p.Shards)
	}
	return int(p.Shards), p.Id, nil
}

// ID is the identity of the registry: one that was lost, and made anew, has another. Empty: the cluster has not been made yet.
func (s Snapshot) ID() string { return string(s.Entries[ShardsKey].Value) }

// Pins are the shards that operators have moved, and to whom by name.
func (s Snapshot) Pins() map[int]string {
	pins := make(map[int]string)
	for key, e := range s.Entries {
		if text, is := strings.CutPrefix(key, PinsKey); is {
			if n, err := strconv.Atoi(text); err == nil {
				pins[n] = string(e.Value)
			}
		}
	}
	return pins
}

// Draining is the names of the gateways that operators want empty.
func (s Snapshot) Draining() map[string]bool {
	names := make(map[string]bool)
	for key := range s.Entries {
		if name, is := strings.CutPrefix(key, DrainingKey); is {
			names[name] = true
		}
	}
	return names
}

// Members are those registered under prefix, GatewaysKey and its like; those that cannot be read are in the error, and the others are there.
func (s Snapshot) Members(prefix string) (map[topology.MemberID]Gateway, error) {
	all := make(map[topology.MemberID]Gateway)
	var errs []error
	for key, e := range s.Entries {
		id, is := strings.CutPrefix(key, prefix)
		if !is {
			continue
		}
		g, err := DecodeGateway(e.Value)
		if err == nil && string(g.ID) != id {
			err = fmt.Errorf("registry: the member under %s is %s", key, g.ID)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all[g.ID] = g
	}
	return all, errors.Join(errs...)
}

// View is the view; nil where there is none.
func (s Snapshot) View() (*topology.View, error) {
	e, is := s.Entries[ViewKey]
	if !is {
		return nil, nil
	}
	return DecodeView(e.Value)
}
