// Package app wires the parts into a process: roles, ports, their order of start and of shutdown. It alone knows everything.
//
//  1. A port is open only once what stands behind it works; /readyz is true only while all of it does.
//  2. Shutdown goes the other way round, is bounded, and says what failed: devices get goaway, publishers their answers,
//     the store what was saved lazily.
//  3. The single process is a cluster of one member: the same router, topology and links.
//
// Goroutines: one a server of the four ports, which Run waits for.
package app
