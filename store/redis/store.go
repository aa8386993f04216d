package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/protocol"
	"ramen/store"
)

// Store keeps mailboxes on Redis servers.
type Store struct {
	// immutable
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	keys    []shardKeys // of each shard

	cacheLimit string // what tells an append how large a cached mailbox may be

	nonce   [8]byte                // of this opening
	cluster *goredis.ClusterClient // says which node has a slot; nil: there is one node
	single  *node                  // nil: a cluster

	identity       atomic.Pointer[store.Identity]
	identityBusy   chan struct{} // of capacity 1: a token of who looks at the servers' identity, or writes it
	epoch          atomic.Uint64 // the highest at which this opening knows of a claim
	claimedAny     atomic.Bool   // a Claim of this opening has succeeded
	identityUnread atomic.Bool   // it could not be looked at behind the last claim
	replaced       atomic.Bool   // the servers have an identity with which nothing may be claimed

	holds      []atomic.Pointer[heldClaim] // of each shard: this opening's claim
	seen       []atomic.Pointer[seenClaim] // of each shard: the claim that Claims has read last
	waitAOF    atomic.Bool                 // fsync needs WAITAOF
	health     atomic.Pointer[health]
	broken     atomic.Pointer[error] // why messages are not taken as long as a server is as it is; nil: they are
	usedShare  atomic.Int64          // of the server's memory, in percent; 0: not known
	inspectNow atomic.Bool
	promiseMu  sync.Mutex    // held to change waitAOF and broken
	weighed    uint64        // guarded by promiseMu: servers in which less was found than was known
	order      atomic.Uint64 // of writes of devices
	kills      kills
	makings    atomic.Uint64 // of mailboxes that are to replace others

	nodesMu sync.Mutex
	nodes   map[string]*node // guarded by nodesMu: of a cluster, by address

	// owned by the keeper, once it runs
	told []finding

	foreign sync.Once

	closeMu sync.RWMutex
	closed  bool           // guarded by closeMu
	calls   sync.WaitGroup // not answered yet; added to under closeMu
	running sync.WaitGroup // goroutines
	stop    context.CancelFunc
}

var _ store.Store = (*Store)(nil)

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return *s.identity.Load() }

// Close implements store.Store. It waits for the calls under way.
func (s *Store) Close() error {
	s.closeMu.Lock()
	was := s.closed
	s.closed = true
	s.closeMu.Unlock()
	if was {
		return nil
	}
	s.calls.Wait()
	s.stop()
	s.running.Wait()
	s.metrics.all.Unregister(s.cfg.Registerer)
	return wrap("close", s.closeClients())
}

func (s *Store) closeClients() error {
	var errs []error
	if s.single != nil {
		errs = append(errs, s.single.client.Close())
	}
	for _, n := range s.nodes {
		errs = append(errs, n.client.Close())
	}
	if s.cluster != nil {
		errs = append(errs, s.cluster.Close())
	}
	return errors.Join(errs...)
}

// submitAll hands calls over, each of which is answered once.
func (s *Store) submitAll(all []*call) {
	var few [4]*queue
	touched := few[:0]
	for _, c := range all {
		if q := s.submit(c); q != nil {
			touched = addQueue(touched, q)
		}
	}
	for _, q := range touched {
		q.kick()
	}
}

func addQueue(all []*queue, q *queue) []*queue {
	for _, x := range all {
		if x == q {
			return all
		}
	}
	return append(all, q)
}

// submit has c wait for its node, in the queue that it answers and the caller is to kick; nil: c was answered.
func (s *Store) submit(c *call) *queue {
	s.closeMu.RLock()
	if s.closed {
		s.closeMu.RUnlock()
		c.done(store.ErrClosed)
		return nil
	}
	s.calls.Add(1)
	s.closeMu.RUnlock()
	if int(c.Shard) >= len(s.keys) {
		s.fail(c, reasonServer, fmt.Errorf("shard %d: there are %d", c.Shard, len(s.keys)))
		return nil
	}
	if err := c.ctx.Err(); err != nil {
		s.fail(c, reasonLate, err)
		return nil
	}
	return s.route(c)
}

// route has c wait for its node.
func (s *Store) route(c *call) *queue {
	if c.read && c.getArgs[1] == nil {
		c.getArgs = [2]any{"get", s.keys[c.Shard].claim}
	}
	n, err := s.nodeOf(c)
	if err != nil {
		s.fail(c, reasonConnect, err)
		return nil
	}
	q := n.queueOf(c)
	if !q.put(c) {
		s.fail(c, reasonBusy, ErrBusy)
		return nil
	}
	return q
}

// nodeOf is the node that c is to be sent to.
func (s *Store) nodeOf(c *call) (*node, error) {
	if s.single != nil {
		return s.single, nil
	}
	if c.to != "" {
		addr := c.to
		c.to = ""
		return s.nodeAt(addr), nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), c.deadline)
	defer cancel()
	return s.nodeOfShard(ctx, c.Shard)
}

// nodeOfShard is the node that has a shard, as far as is known.
func (s *Store) nodeOfShard(ctx context.Context, shard protocol.ShardID) (*node, error) {
	if s.single != nil {
		return s.single, nil
	}
	client, err := s.cluster.MasterForKey(ctx, s.keys[shard].claim)
	if err != nil {
		s.cluster.ReloadState(ctx)
		return nil, fmt.Errorf("find the node of shard %d: %w", shard, err)
	}
	return s.nodeAt(client.Options().Addr), nil
}

// nodeAt is the node of a cluster with that address.
func (s *Store) nodeAt(addr string) *node {
	s.nodesMu.Lock()
	defer s.nodesMu.Unlock()
	n := s.nodes[addr]
	if n == nil {
		n = s.newNode(addr)
		s.nodes[addr] = n
	}
	n.usedMS.Store(nowMS()) // with nodesMu held: closeIdleNodes leaves what is about to be used
	return n
}

// answered gives c its answer.
func (s *Store) answered(c *call, err error) {
	s.metrics.seconds[c.kind].Observe(time.Since(c.began).Seconds())
	c.done(err)
	s.calls.Done()
}

// fail answers c with an error.
func (s *Store) fail(c *call, reason string, err error) {
	s.metrics.errors[reason].Inc()
	s.answered(c, err)
}

// replied reads the reply to c. waited says whether what was written is durable.
func (s *Store) replied(c *call, waited func() error) {
	if c.read {
		if c.held == nil || len(c.claim) < len(c.held.token) || c.claim[:len(c.held.token)] != string(c.held.token[:]) {
			s.mismatch(c, c.claim)
			return
		}
		s.answered(c, nil)
		return
	}
	if v, ok := c.reply.([]any); ok && len(v) > 0 {
		s.refused(c, v)
		return
	}
	if _, ok := c.reply.(int64); ok && c.durable {
		if err := waited(); err != nil {
			s.fail(c, reasonReplica, unknownError(err))
			return
		}
	}
	s.answered(c, nil)
}

// refused reads the reply of a script that has done nothing: a word, and what it is about.
func (s *Store) refused(c *call, v []any) {
	word, _ := v[0].(string)
	about := ""
	if len(v) > 1 {
		about, _ = v[1].(string)
	}
	switch word {
	case "claim":
		s.mismatch(c, about)
	case "last":
		last, err := parsePosition(about)
		if err == nil {
			err = &store.LastError{Last: last}
		}
		s.fail(c, reasonLast, err)
	case "made":
		s.fail(c, reasonOvertaken, errOvertaken)
	default:
		s.fail(c, reasonReply, fmt.Errorf("%w: %q", errReply, word))
	}
}

// again has c tried again: the server has done nothing, and says why.
func (s *Store) again(n *node, c *call, v verdict, reason string, err error) {
	s.metrics.errors[reason].Inc()
	wait := min(time.Duration(c.attempts)*5*time.Millisecond, 50*time.Millisecond)
	if addr := movedTo(err); addr != "" && s.single == nil {
		c.to = addr
		if c.asking = v == verdictAsk; c.asking || c.attempts == 1 {
			wait = 0
		}
	}
	if strings.HasPrefix(err.Error(), "NOSCRIPT") {
		n.reloadScripts()
	}
	s.retry(c, wait, err)
}

// reloadScripts has the server know the scripts again, after SCRIPT FLUSH. It does not wait.
func (n *node) reloadScripts() {
	if !n.loading.CompareAndSwap(false, true) {
		return
	}
	n.s.running.Go(func() {
		defer n.loading.Store(false)
		ctx, cancel := context.WithTimeout(context.Background(), noDeadline)
		defer cancel()
		conn := n.client.Conn()
		defer conn.Close()
		_ = loadScripts(ctx, conn) // else the next call says NOSCRIPT again
	})
}

// movedTo is the address in a reply MOVED or ASK; empty: there is none.
func movedTo(err error) string {
	f := strings.Fields(err.Error())
	if len(f) != 3 || f[0] != "MOVED" && f[0] != "ASK" || strings.HasPrefix(f[2], ":") {
		return ""
	}
	return f[2]
}

// retry has c tried again after a while. Where its deadline comes before, it is answered with err.
func (s *Store) retry(c *call, wait time.Duration, err error) {
	if time.Now().Add(wait).After(c.deadline) {
		s.fail(c, reasonLate, err)
		return
	}
	s.running.Add(1)
	again := func() {
		defer s.running.Done()
		if q := s.route(c); q != nil {
			q.kick()
		}
	}
	if wait == 0 {
		go again()
		return
	}
	time.AfterFunc(wait, again)
}

// noteTrouble has the layout of the cluster read again where a node could not serve a call.
func (s *Store) noteTrouble(n *node, err error) {
	if s.cluster != nil {
		s.cluster.ReloadState(context.Background())
	}
}

// ms is a time as the store keeps it.
func nowMS() int64 { return time.Now().UnixMilli() }
