// Package console is the page that operators and backend developers see at / of the backends' port: live numbers, a
// user's devices and waiting messages, a form that publishes. SPEC 3.
//
//  1. The page is one file and loads nothing else: it works where there is no network but the gateway's own.
//  2. It has no rights of its own. It calls the API of SPEC 8 with the key that its user types, which is kept in the
//     browser's session storage alone, and reads /metrics.
//  3. What comes from outside (types, payloads, contexts, texts of errors) only ever becomes text, never markup. The
//     Content-Security-Policy holds that up: no script or style but those in the file, by their hashes, and no sink
//     that takes markup.
//
// Beside it stands a page that is a device, on the client of clients/web: it shows what a device gets, and what its client makes of it.
// It asks for no key, imports that client from here, and may connect to one devices' port and nothing else. That port has to allow the
// console's origin (frontend.origins).
//
// Goroutines: none.
package console
