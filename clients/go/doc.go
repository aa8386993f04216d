// Package ramen is RAMEN's client: a Device that gets messages, and a Publisher that sends them.
//
// # Devices
//
// A Device holds one stream to the server and opens it again whenever it ends, until its context does. The app gives it a
// Handler and, to keep the place across restarts, a CursorStore; all else is the device's part: acks, heartbeats, tokens,
// reconnecting, moving to another server when one drains, another transport where a proxy is in the way.
//
// Messages come at least once, in the order of priority and then of acceptance. The device drops what it has processed
// before (by id, the last 2,048), so that an app sees a message twice only after a restart that lost the cursor.
//
// What happens when:
//
//   - the handler answers an error: the message is not processed. The device lets go of the stream and opens another
//     after a pause (see below). There the message comes again, unless it has expired, was replaced or recalled, and what
//     is more urgent comes before it. Meanwhile nothing behind it is handled: answer nil for what can never be processed.
//   - the stream breaks, or is silent for 7/4 of the heartbeat interval: another is opened, after a random pause of up to
//     1 s, doubling with each failure up to 30 s, from the start again once a stream has lived 30 s. Over gRPC, where the
//     bytes of an incomplete frame cannot be seen, the silence allowed doubles with each such death, up to 28 s, until a
//     push comes.
//   - the server drains or rebalances: the next stream is opened at a random moment within the time that it names, and
//     the old one is read until the server ends it.
//   - an ack cannot be honoured, or a push is missing in between: the device lets go of the stream and opens another.
//   - a transport fails FallbackAfter times in a row without a word of the server's: the next one has its turn, and after
//     the last the first. The preferred one is tried again after PreferAfter, beside the stream that lives (a poll makes
//     way); a trial that fails doubles the time, up to 1 h.
//   - the token is refused: Token is asked, with growing pauses, until it answers with another one. Without Token, Run ends.
//   - the token is about to expire: Token is asked; a new one goes over the open stream, or (SSE) over a next stream that
//     is opened before the old one is let go.
//   - another installation opens a stream with the same device id: Run ends with ErrSuperseded. A backend disconnects the
//     device: ErrDisconnected. In both cases calling Run again is the app's decision.
//
// # Publishers
//
// A Publisher is shared by all goroutines of a backend: what they publish at the same time goes in one request. It draws
// an id for each message, and tries again under that id what the server cannot take now, so that no retry is delivered twice.
//
// # Inside
//
// A Device's keeper (Run's goroutine) owns its streams: it opens, replaces and ends them. Each stream's goroutine reads
// frames, answers heartbeats and fills the inbox; the handler's goroutine takes from the inbox, moves the cursor and tells
// the acker of the push's stream, which sends acks joined. Invariants:
//
//  1. The cursor covers only messages that the handler has processed, and so do acks. After a message that failed, no
//     later push of its stream is acked.
//  2. At most one stream is live and one is being opened; at most two more are leaving, read until the server ends them.
//  3. Reading never waits for the handler: the inbox holds a window, and a server that sends more is let go of.
//  4. OnHello is told before the first message of its stream is handled.
//  5. A token that was refused is never sent again before another one was.
//  6. What a peer sends is bounded in size and time, see package wire.
//  7. A poll is never sent beside an opening of the device's own: it would be the newer stream.
//  8. A publication's id never changes from the first attempt on.
//
// Goroutines: a device has two (Run's and the handler's) and three a stream (reader, acker, token renewal while the token
// has an end), besides those of net/http (two a connection) or grpc-go (about four). A publisher has one, one a request
// that is out, and over gRPC one for the answers.
package ramen
