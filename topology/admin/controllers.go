package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/protocol"
)

// Etcd is what is asked of the etcd that keeps the registry; a *clientv3.Client is one.
type Etcd interface {
	MemberList(ctx context.Context, opts ...clientv3.OpOption) (*clientv3.MemberListResponse, error)
	MemberAddAsLearner(ctx context.Context, peers []string) (*clientv3.MemberAddResponse, error)
	MemberPromote(ctx context.Context, id uint64) (*clientv3.MemberPromoteResponse, error)
	MemberRemove(ctx context.Context, id uint64) (*clientv3.MemberRemoveResponse, error)
	Status(ctx context.Context, endpoint string) (*clientv3.StatusResponse, error)
}

// Controller is one member of etcd.
type Controller struct {
	ID      string   `json:"id"`   // in hex
	Name    string   `json:"name"` // empty: it has not started yet
	Peers   []string `json:"peers"`
	Clients []string `json:"clients"`
	Learner bool     `json:"learner"` // it follows, and has no vote yet
	Leader  bool     `json:"leader"`  // of etcd
	Version string   `json:"version"`
	Bytes   int64    `json:"db_bytes"`
	Index   uint64   `json:"raft_index"` // that it has applied
	Error   string   `json:"error"`      // why it did not answer
}

// statusTimeout bounds the question to one member.
const statusTimeout = time.Second

// Controllers are the members of etcd, each asked how it is.
func (a *Admin) Controllers(ctx context.Context) ([]Controller, error) {
	l, err := a.cfg.Etcd.MemberList(ctx)
	if err != nil {
		return nil, refusal("list the members", err)
	}
	all := make([]Controller, len(l.Members))
	var asked sync.WaitGroup
	for i, m := range l.Members {
		all[i] = ofEtcd(m)
		asked.Go(func() { a.ask(ctx, &all[i], m.ID) })
	}
	asked.Wait()
	slices.SortFunc(all, func(x, y Controller) int { return strings.Compare(x.Name+x.ID, y.Name+y.ID) })
	return all, nil
}

func ofEtcd(m *etcdserverpb.Member) Controller {
	c := Controller{ID: strconv.FormatUint(m.ID, 16), Name: m.Name, Peers: m.PeerURLs, Clients: m.ClientURLs, Learner: m.IsLearner}
	if c.Clients == nil {
		c.Clients = []string{}
	}
	return c
}

// ask asks a member how it is.
func (a *Admin) ask(ctx context.Context, c *Controller, id uint64) {
	if len(c.Clients) == 0 {
		c.Error = "it has not started yet"
		return
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	s, err := a.cfg.Etcd.Status(ctx, c.Clients[0])
	if err != nil {
		c.Error = fmt.Sprintf("it does not answer at %s: %v", c.Clients[0], err)
		return
	}
	c.Leader, c.Version, c.Bytes, c.Index = s.Leader == id, s.Version, s.DbSize, s.RaftAppliedIndex
}

// Added is a controller that may start, and what it is to be started with.
type Added struct {
	Controller Controller `json:"controller"`
	Members    string     `json:"members"` // for cluster.controller.members, with cluster.controller.join
}

// AddController lets a controller of a name join, whose peers' port is at host:port: as a learner, which has no vote.
func (a *Admin) AddController(ctx context.Context, name, peer string) (Added, error) {
	if _, _, err := net.SplitHostPort(peer); err != nil {
		return Added{}, protocol.Invalidf("peer is %q: it must be host:port, where the other controllers reach it (cluster.controller.peer)", peer)
	}
	if name == "" || strings.ContainsAny(name, "@/,= ") {
		return Added{}, protocol.Invalidf("name is %q: it must be the cluster.name of the controller", name)
	}
	l, err := a.cfg.Etcd.MemberList(ctx)
	if err != nil {
		return Added{}, refusal("list the members", err)
	}
	for _, m := range l.Members {
		if m.Name == name {
			return Added{}, protocol.Invalidf("there is a controller of the name %q already: remove it before, where its data is lost", name)
		}
	}
	r, err := a.cfg.Etcd.MemberAddAsLearner(ctx, []string{(&url.URL{Scheme: a.cfg.Scheme, Host: peer}).String()})
	if err != nil {
		return Added{}, refusal("add "+name, err)
	}
	var all []string
	for _, m := range r.Members {
		called := m.Name
		if m.ID == r.Member.ID {
			called = name
		}
		for _, u := range m.PeerURLs {
			if at, err := url.Parse(u); err == nil {
				all = append(all, called+"="+at.Host)
			}
		}
	}
	slices.Sort(all)
	return Added{ofEtcd(r.Member), strings.Join(all, ",")}, nil
}

// PromoteController gives a learner, by name or id, a vote.
func (a *Admin) PromoteController(ctx context.Context, which string) (Controller, error) {
	m, err := a.find(ctx, which)
	if err != nil {
		return Controller{}, err
	}
	if _, err := a.cfg.Etcd.MemberPromote(ctx, m.ID); err != nil {
		return Controller{}, refusal("promote "+which, err)
	}
	m.IsLearner = false
	return ofEtcd(m), nil
}

// RemoveController takes a controller, by name or id, out of etcd for ever. Its process ends.
func (a *Admin) RemoveController(ctx context.Context, which string) (Controller, error) {
	m, err := a.find(ctx, which)
	if err != nil {
		return Controller{}, err
	}
	if _, err := a.cfg.Etcd.MemberRemove(ctx, m.ID); err != nil {
		return Controller{}, refusal("remove "+which, err)
	}
	return ofEtcd(m), nil
}

// find is the only member of that name or id.
func (a *Admin) find(ctx context.Context, which string) (*etcdserverpb.Member, error) {
	l, err := a.cfg.Etcd.MemberList(ctx)
	if err != nil {
		return nil, refusal("list the members", err)
	}
	var names []string
	for _, m := range l.Members {
		id := strconv.FormatUint(m.ID, 16)
		if which == id || which == m.Name && which != "" {
			return m, nil
		}
		if m.Name == "" {
			names = append(names, id)
		} else {
			names = append(names, m.Name)
		}
	}
	return nil, protocol.Errorf(protocol.CodeNotFound, "no controller has the name or id %q; controllers: %s", which, list(names))
}

// refusal is what is said of an error of etcd's.
func refusal(what string, err error) error {
	code := protocol.CodeUnavailable
	for _, e := range []error{rpctypes.ErrMemberExist, rpctypes.ErrPeerURLExist, rpctypes.ErrMemberNotEnoughStarted, rpctypes.ErrMemberBadURLs, rpctypes.ErrMemberNotLearner, rpctypes.ErrTooManyLearners, rpctypes.ErrUnhealthy} {
		if errors.Is(err, e) {
			code = protocol.CodeInvalidArgument
		}
	}
	if errors.Is(err, rpctypes.ErrMemberNotFound) {
		code = protocol.CodeNotFound
	}
	if errors.Is(err, context.DeadlineExceeded) || status.Code(err) == codes.DeadlineExceeded {
		err = errors.New("it has not answered in time; a majority of its members must be there")
	}
	return protocol.Errorf(code, "etcd: %s: %v", what, err)
}
