// Package origin says which web pages may do what, for CORS, WebSockets and the backends' port alike. SPEC 3.
//
//  1. A value that Parse takes is an origin that a browser can send, in the form in which it sends it; any other is refused by name.
//  2. A page of the server's own origin is known by the Host that it asks for, whoever's name that is. So where there is no
//     authentication, a Host that somebody else could let point here (DNS rebinding) must be refused first: see Local.
//  3. A cookie counts for pages that are configured by their name, and the server's own: none is taken for a page that could be
//     anybody's.
//
// There are no goroutines. A Policy is immutable.
package origin
