/**
 * The wire contract: frames, their encodings, and the transports over HTTP. It is for this library and its transports in other artifacts, not for apps,
 * and may change in any version.
 *
 * <p>Threads: a transport may tell its events from any thread; {@link ramen.client.wire.Conn}'s methods are called in the device's loop, and return at
 * once. An SSE stream and a WebSocket hold one thread each that reads; a long-poll one while a request is out.
 */
package ramen.client.wire;
