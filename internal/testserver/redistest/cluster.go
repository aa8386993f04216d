package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"ramen/internal/ports"
	"ramen/internal/testserver"
)

const (
	masters = 3
	slots   = 16384 // Redis Cluster specification: the key space
)

// Cluster is a Redis Cluster of three masters with a replica each, which is promoted about 2 s after its master is gone.
type Cluster struct {
	Nodes []*Server // three that were started as masters, then the replica of each in the same order

	ids map[*Server]string
}

// StartCluster starts a cluster, and waits until all nodes know who serves which slots.
func StartCluster(t testserver.TB, o Options) *Cluster {
	t.Helper()
	ca := authority(o)
	c := &Cluster{ids: make(map[*Server]string)}
	buses := make(map[*Server]string)
	for range 2 * masters {
		bus := port(t, ports.Free(testserver.PortsTB(t)))
		conf := Config{"cluster-enabled": "yes", "cluster-config-file": "nodes.conf", "cluster-port": bus, "cluster-node-timeout": "1000"}
		if o.Proxied { // clients hear of a host of their own; among themselves nodes use addresses
			conf["cluster-announce-hostname"] = proxyHost
			conf["cluster-preferred-endpoint-type"] = "hostname"
		}
		n := prepare(t, o.with(conf), ca)
		c.Nodes = append(c.Nodes, n)
		buses[n] = bus
	}
	startAll(t, c.Nodes)
	for i, n := range c.Nodes {
		n.await(t, "join the cluster", func(ctx context.Context, client *redis.Client) error { return c.join(ctx, client, i, buses) })
	}
	for i, n := range c.Nodes[masters:] {
		n.await(t, "follow its master", func(ctx context.Context, client *redis.Client) error {
			return client.ClusterReplicate(ctx, c.ids[c.Nodes[i]]).Err() // refused until it has heard of it
		})
	}
	c.AwaitWhole(t)
	return c
}

// join gives node i its slots and shows it the first node.
func (c *Cluster) join(ctx context.Context, client *redis.Client, i int, buses map[*Server]string) error {
	id, err := client.Do(ctx, "CLUSTER", "MYID").Text()
	if err != nil {
		return err
	}
	c.ids[c.Nodes[i]] = id
	// Masters with epochs of their own need not agree on them first.
	if err := client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
		return err
	}
	if i < masters {
		if err := client.ClusterAddSlotsRange(ctx, i*slots/masters, (i+1)*slots/masters-1).Err(); err != nil {
			return err
		}
	}
	host, port, err := net.SplitHostPort(c.Nodes[0].Addr)
	if i == 0 || err != nil {
		return err
	}
	return client.Do(ctx, "CLUSTER", "MEET", host, port, buses[c.Nodes[0]]).Err()
}

// AwaitWhole waits until all nodes that run say so of the cluster: all slots served, all nodes known, and each slot's replica follows.
func (c *Cluster) AwaitWhole(t testserver.TB) {
	t.Helper()
	for _, n := range c.Nodes {
		n.await(t, "know the whole cluster", c.whole)
	}
}

// whole is nil where a node has all that a cluster is to have.
func (c *Cluster) whole(ctx context.Context, client *redis.Client) error {
	info, err := client.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	for _, line := range []string{"cluster_state:ok", "cluster_slots_ok:" + strconv.Itoa(slots), "cluster_known_nodes:" + strconv.Itoa(len(c.Nodes))} {
		if !strings.Contains(info, line+"\r\n") {
			return fmt.Errorf("no %q in:\n%s", line, info)
		}
	}
	//lint:ignore SA1019 CLUSTER SLOTS is what clients route by, so it is what a test waits for
	ranges, err := client.ClusterSlots(ctx).Result()
	if err != nil {
		return err
	}
	for _, r := range ranges {
		if len(r.Nodes) < 2 {
			return fmt.Errorf("slots %d to %d have no replica", r.Start, r.End)
		}
	}
	role, err := client.Do(ctx, "ROLE").Slice()
	if err == nil && role[0] == "slave" {
		err = infoHas(ctx, client, "replication", "master_link_status:up")
	}
	return err
}

// Serving answers the master of a key's slot, by the word of a majority of the nodes that run, and its replicas.
func (c *Cluster) Serving(t testserver.TB, key string) (master *Server, replicas []*Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	if err := testserver.Await(ctx, func() (err error) {
		master, replicas, err = c.serving(ctx, key)
		return err
	}); err != nil {
		t.Fatalf("redistest: find the master of %q: %v", key, err)
	}
	return master, replicas
}

func (c *Cluster) serving(ctx context.Context, key string) (*Server, []*Server, error) {
	votes := make(map[string]int) // by the slot's addresses, its master first
	for _, n := range c.Nodes {
		addrs, err := n.slotAddrs(ctx, key)
		if err != nil {
			continue // it is down
		}
		said := strings.Join(addrs, " ")
		if votes[said]++; votes[said] > len(c.Nodes)/2 {
			servers := c.at(addrs)
			return servers[0], servers[1:], nil
		}
	}
	return nil, nil, fmt.Errorf("no majority among %v", votes)
}

// slotAddrs asks a node for the addresses that serve the slot of a key.
func (s *Server) slotAddrs(ctx context.Context, key string) ([]string, error) {
	if !s.Running() {
		return nil, errors.New("it does not run")
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin) // it may be paused
	defer cancel()
	client := redis.NewClient(s.ClientOptions())
	defer client.Close()
	slot, err := client.ClusterKeySlot(ctx, key).Result()
	if err != nil {
		return nil, err
	}
	//lint:ignore SA1019 CLUSTER SLOTS is what clients route by, so it is what a test waits for
	ranges, err := client.ClusterSlots(ctx).Result()
	if err != nil {
		return nil, err
	}
	for _, r := range ranges {
		if int64(r.Start) <= slot && slot <= int64(r.End) {
			var addrs []string
			for _, n := range r.Nodes {
				addrs = append(addrs, n.Addr)
			}
			return addrs, nil
		}
	}
	return nil, fmt.Errorf("nobody serves slot %d", slot)
}

// at are the servers that clients find at addrs.
func (c *Cluster) at(addrs []string) (all []*Server) {
	for _, addr := range addrs {
		for _, n := range c.Nodes {
			if n.ClientAddr() == addr {
				all = append(all, n)
			}
		}
	}
	return all
}

// AwaitPromoted waits until another node than old is the master of a key's slot, by the word of a majority and its own.
func (c *Cluster) AwaitPromoted(t testserver.TB, key string, old *Server) *Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	var master *Server
	if err := testserver.Await(ctx, func() (err error) {
		if master, _, err = c.serving(ctx, key); err == nil && master == old {
			err = errors.New("no other is master")
		}
		if err == nil {
			err = isMaster(ctx, master)
		}
		return err
	}); err != nil {
		t.Fatalf("redistest: promote a replica: %v", err)
	}
	return master
}

// URL names all nodes in the form redis+cluster://user:password@host:port,host:port; rediss+cluster with TLS.
func (c *Cluster) URL() string { return manyURL("cluster", c.Nodes[0], c.Nodes, "") }

// Client is a cluster's client for the test's own questions, closed at its end. It is led through proxies as all clients are.
func (c *Cluster) Client(t testserver.TB) *redis.ClusterClient {
	t.Helper()
	o := c.Nodes[0].ClientOptions()
	var addrs []string
	for _, n := range c.Nodes {
		addrs = append(addrs, n.ClientAddr())
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: addrs, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		DialTimeout: o.DialTimeout, ContextTimeoutEnabled: true, DisableIdentity: true, MaintNotificationsConfig: o.MaintNotificationsConfig,
	})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("redistest: close a client: %v", err)
		}
	})
	return client
}
