// Package mutants shows that the suite for clients fails where it should: a mutant is a client with one rule of clients/SPEC.md broken
// by a small change of its source, and at least one of the scenarios that should find it has to fail.
//
// Mutants are written in go.txt, web.txt, python.txt and java.txt, a block each:
//
//	mutant refused-token-again       its name, of the list
//	rule C 9.3                       what it breaks
//	file token.go                    in the client's folder of sources
//	find token-refused sse,ws-json   a scenario that should find it, and over which transports; none: all
//	old
//	what stands there, once, as it stands
//	new
//	what stands there instead
//	end
//
// A list is checked whole whenever the tests run: an old text that is not found once is a failure, so that lists follow the sources.
//
// Invariants:
//  1. The sources stay as they are: a mutant is built from an overlay (Go) or from a copy in a temporary folder (web, Python, Java).
//  2. A mutant has to be a client that works but for the rule: it has to pass the scenario plain over one transport, unless plain is to
//     find it. One that does not build, or does not start, is a failure of the test and no mutant that was found.
//  3. The scenarios that are to find mutants pass with the client as it is, so that what fails is the change.
//
// Goroutines: those of conformance.Run, and one a mutant that is under way.
package mutants
