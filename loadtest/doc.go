// Package loadtest drives a RAMEN server with tens of thousands of devices and their publishers, measures what it costs, and
// checks that everything accepted arrives. README.md says how to use it and how to read what it says.
//
//  1. It knows a server by its wire contract alone: it imports clients and protocol, and no part of a server.
//  2. A check that failed is never lost in the figures: Run's report counts it, and whoever runs it exits with an error.
//
// Packages: devices, publisher, expect (what devices must get), stats (histograms, usage), machine (processors, a server
// process of its own), workers (orders, processes), baseline (a bare server to compare with), slow (a slow link), scenario
// (what is measured), report (what was found). budget.yaml is the project's budget as a run. Goroutines: theirs.
package loadtest
