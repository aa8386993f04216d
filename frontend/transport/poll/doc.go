// Package poll is the transport of streams whose device asks again and again: each answer is a stream of its own. SPEC 5.
//
// A stream has the goroutine of its handler, which keeps its permit until the answer is written.
package poll
