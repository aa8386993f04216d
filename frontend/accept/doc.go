// Package accept is the way from a listener to who serves a connection's first request: on a plain port, requests that open a
// stream of events or a WebSocket are read here, and cost less than half of what they cost in net/http; all others are
// net/http's.
//
// A connection takes the first of three paths that fits:
//
//	raw    a bare descriptor whose first bytes are a whole request head in the usual form: no net.Conn, no http.Request
//	early  a net.Conn whose head came late, in pieces or in an unusual form: http.ReadRequest, without net/http's server
//	other  everything else: net/http's server, with the bytes that were read
//
// Where package sock cannot accept bare descriptors, all connections begin on the second path.
//
// Invariants:
//
//  1. What is read here is served as net/http would serve it. RequestHead reads only the form in which nearly all requests come,
//     and refuses the rest, right or wrong: net/http judges what is unusual.
//  2. A connection has one owner: whoever holds its ConnSource, until Attach gives it to the socket loop or closes it.
//  3. A connection whose head is not whole after Config.HeadTimeout is closed; the time counts from its accept, whoever reads.
//  4. A connection that was answered and not attached ends with the answer.
//
// This package knows neither streams nor transports: Frontend opens what a request asks for.
//
// Goroutines: one that accepts; one a request that is being opened, of which some stay for the next one; one a connection of
// the second path until its request is served. Serve waits for all of them.
//
// Lock order: Acceptor.mu is taken alone, and not held while Frontend is called.
package accept
