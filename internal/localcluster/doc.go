// Package localcluster runs a whole cluster on this machine: controllers, gateways and frontends, each a process of the real binary at
// loopback ports of its own, and a real Redis or Cassandra behind them.
//
//		c := localcluster.Start(t, localcluster.Config{Binary: ramen, Controllers: 3, Gateways: 3, Frontends: 2})
//		c.Member("gateway-2").Kill(t)
//
//	 1. A member has a name, ports and a folder, and keeps them over all its starts.
//	 2. Processes end with the test or program that started them, however that ended (package testserver).
//	 3. What a member writes goes to a file in its folder.
//
// Goroutines: those of package testserver.
package localcluster
