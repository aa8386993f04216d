/**
 * The publisher of RAMEN: {@link ramen.client.publish.RamenPublisher}. C 14
 *
 * <p>Threads: everything of a publisher runs in its loop, one call at a time; HTTP calls borrow a thread of the workers each while they are out, at most as
 * many as requests may be. Futures complete in the loop: continue with {@code ...Async} where that takes long.
 */
package ramen.client.publish;
