// Package ws is the server's side of WebSocket (RFC 6455) with permessage-deflate (RFC 7692): a handshake, a decoder of what a
// device sends, and an encoder of what it gets. It does no input and output beyond the handshake.
//
//  1. A Reader takes input in pieces of any size, answers the same for all of them, and is a few bytes while idle: where a
//     frame comes in one piece nothing is copied, and between messages no buffer is held.
//  2. What a peer claims costs nothing, what it sends is bounded: a frame's length is refused before its first byte is kept,
//     inflating stops at the limit.
//  3. A Reader never panics on input, and its errors are *CloseError: the code and text to end the connection with.
//  4. The package has no goroutine and no state but pools of buffers.
package ws
