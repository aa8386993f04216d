// Package httpconn runs net/http's servers so that what net/http answers by itself keeps to the contract.
//
//  1. A request that net/http refuses before any handler sees it (400, 417, 431, 501, 505) is answered with the error's JSON body
//     of SPEC 4, over HTTP/1.1, in cleartext and over TLS. HTTP/2 has its own frames, and is left alone.
//  2. A request that says twice how long it is (Content-Length and Transfer-Encoding) is served by the latter, and its
//     connection is closed behind it: what follows may be another's. RFC 9112 6.1.
//  3. A connection of HTTP/2 whose client resets over 200 requests a second as soon as it has opened them is closed.
//  4. Errors of handlers are written here too (WriteError), so that a client sees one form, whoever refuses it.
//
// Goroutines: one a TLS handshake, one that accepts on a TLS listener; Serve waits for all.
package httpconn
