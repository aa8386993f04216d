// Package linkgrpc is link over the network: a Client for frontends, whose Links are gateways of other processes, and a Server that
// serves any link.Gateway to them. One process needs neither: there a frontend calls the gateway itself, which is a link.Gateway, and a
// link of this package is another one. Nothing but who is called differs.
//
//	frontend ─▶ Link ─▶ attachment ══ one grpc call: batches of frames ══ session ─▶ serverStream ─▶ gateway
//
// A link is one connection with one call on it, Attach, that lasts as long as the link: linkpb/link.proto has what is said. It begins with
// a hello each way (versions, and who is meant and who answers) and is never made again beneath who uses it: after a break there is
// another attachment, with other streams and calls.
//
// Invariants:
//
//  1. Frames arrive in the order in which they were put into the outbox of their side. What is put while a batch is on its way goes
//     with the next, and on a quiet link each frame is sent at once, but for acks and round trips: these go with what is sent next, within 10 ms.
//  2. Nothing grows with a peer that is slow or stopped. An outbox holds Config.LinkBytes, or the link ends; the calls under way hold
//     Config.CallBytes, and further ones wait. Streams are given credit in portions, and none while half of LinkBytes waits.
//  3. The attachment's reader alone calls receivers, so that their calls are in order, and Lost is told once: after all else, and to no
//     stream that was closed or whose Open has not answered.
//  4. A peer that says nothing, or takes nothing, for 2.5 times Config.KeepAlive is gone, whatever TCP says.
//  5. A call that the link's end leaves without an answer is ErrNotSent where it had not been given to grpc, else ErrLost. Nothing is sent
//     again here: a caller who asks again does so with the same ids.
//  6. The publishes of a user are made in the order in which they were sent, over all links of a gateway.
//  7. A frontend process has one link to a gateway: a newer one ends what the gateway still has of an older.
//
// Goroutines: at the frontend three a link (run, which is the reader while the link stands; send; watch); at the gateway three a link
// (reader, send, watch) and one a call under way, of which up to 32 stay and wait for the next publishes; grpc has its own, a few a
// connection. None is a stream's.
//
// Locks: serverStream.mu, then session.mu, then outbox.mu; attachment.mu, then outbox.mu. None is held in a call of a receiver, a gateway
// or grpc.
package linkgrpc
