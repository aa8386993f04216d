/**
 * What keeps a device connected. It is not for apps, and may change in any version.
 *
 * <p>Invariants: a device has at most one stream that is live, one that is opening and two that are leaving (C 1.1); the place and the acks cover processed
 * pushes alone (C 8.1, 12.4); the handler has one message at a time (C 5.1).
 *
 * <p>Threads: everything of a device runs in its {@link ramen.client.internal.Loop}, one call at a time, so nothing here has a lock of its own but the loop
 * and the iterator. A loop has no thread: it borrows one of {@link ramen.client.internal.Workers} while it has something to do. The app's blocking calls
 * (handler, token source, cursor store) borrow another. One thread for all devices of the process waits for timers. Threads end after 10 s without work.
 */
package ramen.client.internal;
