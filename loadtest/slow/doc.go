// Package slow is a slow link on one machine: two network namespaces, a TUN device in each, and this process in between, which
// lets packets through at a rate, after a delay, and drops what its queue has no room for. TCP on both ends is the kernel's own,
// so that what is measured is what a phone on such a link would see.
//
//  1. Nothing outside the two namespaces is changed, and nothing of them outlives the process: Close gives up the devices, and
//     the kernel removes a namespace with its last descriptor.
//  2. Nothing is kept for a packet that was dropped; the queue and what is on its way are bounded by Config.
//
// Goroutines: two a direction, one that reads packets and one that writes them when they are due, and those of package netspace.
// Close waits for the four.
package slow
