// Package netspace makes network namespaces, and networks of them, on one machine: for tests of what is far away, slow or cut off.
//
//  1. Nothing outside the namespaces is changed, and nothing of them outlives the process: the kernel removes a namespace with its last
//     descriptor and its last process.
//  2. A thread that has entered a namespace ends with its work: no other goroutine ever runs in it by mistake.
//
// A Network is a star: hosts in spaces of their own around the namespace of this process, which routes between them, and so can drop
// what one sends to another. Relocated runs a program in a namespace that it has for itself, as a Network needs.
//
// Goroutines: one for the time of each Space.Do, and one that waits for the program of Relocated.
package netspace
