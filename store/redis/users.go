package redis

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/protocol"
	"ramen/store"
)

// scanKeys is how many keys a SCAN looks at, about: a server does nothing else meanwhile.
const scanKeys = 1000

// scanPause is how long who lists users waits before the servers are asked again.
const scanPause = 50 * time.Millisecond

// scanPage is how far a listing has come: node by node, in the order of their addresses. As text its fields stand apart by blanks.
type scanPage struct {
	layout string // names who serves which slots, as it was when the listing began; empty: not known yet, or there is no cluster
	addr   string // the node that is scanned; empty: the first
	run    string // names the process that the cursor is of; empty: the node is not asked yet
	cursor uint64
	done   bool
}

const noLayout = "-"

func (p *scanPage) String() string {
	if p.done {
		return ""
	}
	return fmt.Sprint(p.layout, " ", p.addr, " ", p.run, " ", p.cursor)
}

func parseScanPage(text string) (p scanPage, err error) {
	if text == "" {
		return p, nil
	}
	f := strings.Split(text, " ")
	if len(f) == 4 {
		p.layout, p.addr, p.run = f[0], f[1], f[2]
		p.cursor, err = strconv.ParseUint(f[3], 10, 64)
	}
	if len(f) != 4 || err != nil {
		return p, fmt.Errorf("page %q is none", text)
	}
	return p, nil
}

// Users implements store.Enumerator, by SCAN of the keys of one master after the other. A page is a node and its cursor. A cursor is of one
// process: where the server was started again, or another one is the master, its keys are scanned from the start. Where slots of a
// cluster have another master than when the listing began, all of it is begun again, since keys may have gone to where was scanned before;
// while keys move it fails.
func (s *Store) Users(ctx context.Context, page string, limit int) (users []store.ShardUser, next string, err error) {
	if err := s.enter(); err != nil {
		return nil, "", wrap("list users", err)
	}
	defer s.calls.Done()
	at, err := parseScanPage(page)
	for err == nil && !at.done && len(users) < max(limit, 1) {
		err = s.insist(ctx, func(ctx context.Context) (again bool, err error) {
			keys, to, again, err := s.scan(ctx, at, min(max(limit, 10), scanKeys))
			for _, k := range keys {
				if u, ok := s.userOfKey(k); ok {
					users = append(users, u)
				}
			}
			at = to
			return again, err
		})
	}
	if err != nil {
		return nil, "", wrap("list users", err)
	}
	return users, at.String(), nil
}

// insist does something until it succeeds, or is not to be done again, or ctx ends: servers may fail over meanwhile.
func (s *Store) insist(ctx context.Context, do func(ctx context.Context) (again bool, err error)) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	for {
		again, err := do(ctx)
		if err == nil || !again {
			return err
		}
		pause := time.NewTimer(scanPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return err
		}
	}
}

// passes reports whether what the servers have answered to a call may be otherwise soon.
func passes(err error) bool {
	v, reason := judge(err, true)
	return v != verdictDone && (v != verdictFail || reason == reasonConnect)
}

// scan asks for the keys of one page. Where it fails, to is where to go on.
func (s *Store) scan(ctx context.Context, from scanPage, count int) (keys []string, to scanPage, again bool, err error) {
	nodes, err := s.scanned(ctx)
	if err != nil {
		return nil, from, passes(err), err
	}
	at := from
	if at.addr == "" {
		at.addr = nodes[0].addr
	}
	i := slices.IndexFunc(nodes, func(n *node) bool { return n.addr == at.addr })
	if i < 0 {
		return nil, scanPage{}, true, errUnsettled
	}
	nodes[i].usedMS.Store(nowMS())
	found, err := nodes[i].scan(ctx, at.cursor, s.cfg.Prefix, count, s.cluster != nil)
	switch {
	case err != nil:
		return nil, from, passes(err), err
	case found.moving != "":
		return nil, from, false, fmt.Errorf("slots of the cluster are moving (%s at %s): try again when that is over", found.moving, at.addr)
	case s.cluster != nil && found.masters != len(nodes), at.layout != "" && found.layout != at.layout:
		return nil, scanPage{}, true, errUnsettled
	case at.run != "" && found.run != at.run:
		at.run, at.cursor = "", 0
		return nil, at, true, errors.New("the Redis server was started again")
	}
	at.layout, at.run, at.cursor = found.layout, found.run, found.cursor
	if at.cursor == 0 {
		if i++; i == len(nodes) {
			at.done = true
			return found.keys, at, false, nil
		}
		at.addr, at.run = nodes[i].addr, ""
	}
	return found.keys, at, false, nil
}

var errUnsettled = errors.New("who serves which slots of the cluster has changed")

// scanned are the masters, in the order in which they are scanned.
func (s *Store) scanned(ctx context.Context) (all []*node, err error) {
	if s.single != nil {
		return []*node{s.single}, nil
	}
	var mu sync.Mutex
	err = s.cluster.ForEachMaster(ctx, func(_ context.Context, c *goredis.Client) error { // it asks for the layout
		mu.Lock()
		defer mu.Unlock()
		all = append(all, s.nodeAt(c.Options().Addr))
		return nil
	})
	if err == nil && len(all) == 0 {
		err = errUnsettled
	}
	slices.SortFunc(all, func(a, b *node) int { return strings.Compare(a.addr, b.addr) })
	return all, err
}

// scanReply is what a node answers to one scan, and what it says of itself behind that.
type scanReply struct {
	keys   []string
	cursor uint64
	run    string
	clusterLayout
}

// scan asks by one connection, so that all of it is of one process.
func (n *node) scan(ctx context.Context, cursor uint64, prefix string, count int, cluster bool) (r scanReply, err error) {
	pipe := n.client.Pipeline()
	scan := pipe.Scan(ctx, cursor, mailboxPattern(prefix), int64(count))
	info := pipe.Info(ctx, "server")
	var nodes *goredis.StringCmd
	if cluster {
		nodes = pipe.ClusterNodes(ctx)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return r, err
	}
	r.keys, r.cursor = scan.Val()
	r.run = parseInfo(info.Val())["run_id"]
	r.layout = noLayout
	if cluster {
		r.clusterLayout = parseClusterNodes(nodes.Val())
	}
	return r, nil
}

// clusterLayout is who serves which slots, as a node sees it.
type clusterLayout struct {
	layout  string // names it: it changes with it
	masters int    // that have slots
	moving  string // a slot of the node whose keys are on the move; empty: none
}

// parseClusterNodes reads what CLUSTER NODES answers: a line a node, of eight fields, the first its id, and behind them the slots that it
// serves. Those on the move are in brackets; the node itself alone tells them.
func parseClusterNodes(text string) (l clusterLayout) {
	var all []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 9 {
			continue
		}
		var slots []string
		for _, slot := range f[8:] {
			if strings.HasPrefix(slot, "[") {
				l.moving = slot
				continue
			}
			slots = append(slots, slot)
		}
		if len(slots) > 0 {
			l.masters++
			all = append(all, f[0]+" "+strings.Join(slots, " "))
		}
	}
	slices.Sort(all)
	sum := sha256.Sum256([]byte(strings.Join(all, "\n")))
	l.layout = hex.EncodeToString(sum[:8])
	return l
}

// mailboxPattern matches the keys of all mailboxes, and few others.
func mailboxPattern(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(prefix) + ":{*}:u:*"
}

// userOfKey reads the key of a mailbox; ok is false where it is of something else.
func (s *Store) userOfKey(key string) (u store.ShardUser, ok bool) {
	rest, ok := strings.CutPrefix(key, s.cfg.Prefix+":{")
	number, user, found := strings.Cut(rest, "}:u:")
	shard, err := strconv.ParseUint(number, 10, 32)
	if !ok || !found || err != nil || shard >= uint64(len(s.keys)) || strconv.FormatUint(shard, 10) != number {
		return u, false
	}
	return store.ShardUser{Shard: protocol.ShardID(shard), User: protocol.UserID(user)}, true
}
