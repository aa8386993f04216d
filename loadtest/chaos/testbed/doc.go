// Package testbed runs a cluster of real processes, with publishers and devices over every transport, has things done to it, and gives
// the log of what publishers and devices have seen, for package judge.
//
//	b, err := testbed.Start(ctx, testbed.Config{Cluster: localcluster.Config{Binary: ramen, Controllers: 3, Gateways: 3, Frontends: 2}})
//	err = b.Inflict(testbed.Named("gateway-killed", 1, time.Second))
//	log, err := b.Finish()
//
// A fault is written down with what it excuses, and nothing else is excused: a stream ends only with its frontend, an accepted message
// is never lost, an ack is forgotten only with who had it, a publish is answered within its deadline.
//
// Meanwhile the claims in the store are read, and which shards each gateway serves: two owners of one shard, and an epoch that goes back,
// are written down as found by the testbed itself.
//
// Goroutines: one a fault of several at once, two that watch owners and one a gateway that is asked, and those of packages localcluster
// and observe. Locks: a member's mutex is held while something is done to it; mu guards what is written down.
package testbed
