// Package stats measures: latencies in histograms that can be merged and sent, windows of them over time, and what a server
// process on this machine uses.
//
//  1. A histogram's values are microseconds, from 1 µs to 10 min; what is beyond counts as the bound.
//  2. Histograms of several processes are merged, never their percentiles.
//
// A Hist has one owner. No goroutines.
package stats
