package cassandratest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	gocql "github.com/apache/cassandra-gocql-driver/v2"

	"ramen/internal/testserver"
	"ramen/internal/testserver/faultproxy"
)

// maxNodes is how many nodes a cluster has, if it is more than one.
const maxNodes = 3

// Datacenter is the one that all nodes are in that this package starts.
const Datacenter = "datacenter1"

// Cluster is one node or several. Its clients' side is Hosts, Datacenter, URL, Keyspace and Session.
type Cluster struct {
	Hosts []string // addresses that clients begin with
	Nodes []*Node  // empty where CASSANDRA_HOSTS names nodes of somebody else

	datacenter string
	lasts      bool         // beyond the test
	release    func() error // the network
}

// Options are what a cluster is started with.
type Options struct {
	Nodes int // 1 or 3; 0 is 1
	// NeverKilled says that no test kills a node, or has it start again: then changes of the schema need not be flushed to disk, each
	// of which takes a node several flushes otherwise.
	NeverKilled bool
	// Settings are those of cassandra.yaml, by their names there, beside what this package sets: commitlog_sync is periodic, each second.
	// One that is nil is left out.
	Settings map[string]any
	// DataDir is where each node has a folder for its data and its commit log; empty: beside its configuration.
	DataDir string
	// Proxied puts a proxy of package faultproxy before each node, which clients are led to: by Hosts, and by what nodes tell of each other
	// (broadcast_rpc_address). Nodes reach each other past it, and so do Node.Session and AwaitUp.
	Proxied bool
	// Place is where all nodes run: at its address, which ends with 1, and at those behind it. nil: here, in a loopback network of their own.
	// Not with Proxied.
	Place *testserver.Place
}

// Start starts a cluster of its own for a test.
func Start(t testserver.TB, o Options) *Cluster {
	t.Helper()
	c, err := prepare(find(t), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("node %s wrote:\n%s", n.Host, n.LogTail())
			}
		}
		if err := c.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	if o.Proxied {
		c.proxy(t)
	}
	c.start(t)
	return c
}

// prepare is a cluster that is not started.
func prepare(in install, o Options) (*Cluster, error) {
	count := max(1, o.Nodes)
	if count != 1 && count != maxNodes {
		return nil, fmt.Errorf("cassandratest: %d nodes: 1 or %d are possible", count, maxNodes)
	}
	prefix, release, err := o.network()
	if err != nil {
		return nil, err
	}
	c := &Cluster{datacenter: Datacenter, release: release}
	var hosts []string
	for i := range count {
		hosts = append(hosts, prefix+strconv.Itoa(i+1))
	}
	if o.NeverKilled {
		in.properties = append(in.properties, "-Dcassandra.test.flush_local_schema_changes=false")
	}
	for i, host := range hosts {
		settings := clusterSettings(hosts, i)
		if o.Proxied {
			host = prefix + strconv.Itoa(proxyAbove+i+1)
			settings["broadcast_rpc_address"] = host
		}
		c.Hosts = append(c.Hosts, host)
		if o.DataDir != "" {
			maps.Copy(settings, dataSettings(filepath.Join(o.DataDir, "node"+strconv.Itoa(i+1))))
		}
		maps.Copy(settings, o.Settings)
		n, err := newNode(in, hosts[i], settings, o.Place)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}

// network is where the nodes are: addresses that begin with prefix.
func (o *Options) network() (prefix string, release func() error, err error) {
	if o.Place == nil {
		return reserveNetwork()
	}
	prefix, ends := strings.CutSuffix(o.Place.Host, ".1")
	if !ends {
		return "", nil, fmt.Errorf("cassandratest: the address of a place is %s: it must end with 1", o.Place.Host)
	}
	return prefix + ".", nil, nil
}

// proxyAbove is how much above its node's address that of a proxy is.
const proxyAbove = 10

// proxy starts the proxies.
func (c *Cluster) proxy(t testserver.TB) {
	t.Helper()
	for i, n := range c.Nodes {
		port := strconv.Itoa(nativePort)
		n.Proxy = faultproxy.NewAt(t, net.JoinHostPort(c.Hosts[i], port), net.JoinHostPort(n.Host, port))
	}
}

// clusterSettings are those of node i of the nodes at hosts.
func clusterSettings(hosts []string, i int) map[string]any {
	seeds := []map[string]string{{"seeds": strings.Join(hosts, ",")}}
	return map[string]any{
		"seed_provider": []map[string]any{{"class_name": "org.apache.cassandra.locator.SimpleSeedProvider", "parameters": seeds}},
		"num_tokens":    tokensPerNode,
		"initial_token": tokens(i, len(hosts)),
	}
}

// tokensPerNode is how many ranges of the ring each node has.
const tokensPerNode = 4

// tokens cuts the ring into equal ranges that the nodes have in turn, so that nodes can start at once: none looks at what others took.
func tokens(node, nodes int) string {
	width := ^uint64(0)/uint64(tokensPerNode*nodes) + 1
	var all []string
	for i := range tokensPerNode {
		all = append(all, strconv.FormatInt(int64(width*uint64(i*nodes+node)+1), 10))
	}
	return strings.Join(all, ",")
}

// start starts all nodes at once.
func (c *Cluster) start(t testserver.TB) {
	t.Helper()
	for _, n := range c.Nodes {
		n.Launch(t)
	}
	for _, n := range c.Nodes {
		n.AwaitReady(t)
	}
	c.AwaitUp(t)
}

// AwaitUp waits until all nodes take all nodes for up, as they need some time to see of one that has come back.
func (c *Cluster) AwaitUp(t testserver.TB) {
	t.Helper()
	if len(c.Nodes) < maxNodes {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	defer cancel()
	for _, n := range c.Nodes {
		if err := allUp(ctx, n.Host); err != nil {
			t.Fatalf("cassandratest: %s does not take all nodes for up: %v", n.Host, err)
		}
	}
}

// allUp waits until the node at host asks all nodes. It refuses a question at once that a node has to answer which it takes for down.
func allUp(ctx context.Context, host string) error {
	s, err := session("", host)
	if err != nil {
		return err
	}
	defer s.Close()
	return testserver.Await(ctx, func() error {
		// This keyspace of Cassandra's own has three replicas.
		return s.Query("SELECT keyspace_name FROM system_distributed.view_build_status LIMIT 1").Consistency(gocql.All).ExecContext(ctx)
	})
}

// Close ends the cluster and removes what it has on disk.
func (c *Cluster) Close() error {
	var err error
	for _, n := range slices.Backward(c.Nodes) {
		err = errors.Join(err, n.Close())
	}
	if c.release != nil {
		err = errors.Join(err, c.release())
	}
	return err
}

// URL names the cluster and a keyspace in the form cassandra://host,host/keyspace?dc=name.
func (c *Cluster) URL(keyspace string) string {
	u := url.URL{Scheme: "cassandra", Host: strings.Join(c.Hosts, ","), Path: "/" + keyspace}
	u.RawQuery = url.Values{"dc": {c.datacenter}}.Encode()
	return u.String()
}
