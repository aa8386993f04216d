/**
 * The device client of RAMEN, a real-time push gateway: {@link ramen.client.RamenDevice}. Publishers are in {@code ramen.client.publish}. What a client does
 * is in clients/SPEC.md, whose rules are cited as C 3.4; the wire contract in protocol/SPEC.md, cited as SPEC 2.8.
 */
package ramen.client;
