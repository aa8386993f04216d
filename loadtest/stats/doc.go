// Package stats has histograms of latencies that can be merged and sent, windows of them over time, and the CPU and memory that a
// server process uses.
//
//  1. A histogram's values are microseconds, from 1 µs to 10 min; values beyond count as the bound.
//  2. The percentiles of several processes are those of their merged histograms.
//
// A Hist has one owner. No goroutines.
package stats
