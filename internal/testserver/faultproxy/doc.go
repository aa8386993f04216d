// Package faultproxy stands between a client and a server of a test, and does to their connections what networks do: it cuts, delays,
// slows and swallows, by toxiproxy in this process.
//
// To a Redis or Cassandra that tells its clients addresses, a proxy is put by redistest and cassandratest (their Options.Proxied): the
// servers then tell the proxies' addresses, and clients need know nothing.
//
// Goroutines: those of toxiproxy: two a proxy, and some a connection. They end with the test.
package faultproxy
