package ramen.client.internal;

import java.util.List;
import ramen.client.Transport;

/**
 * Over which transport the next stream is opened: the preferred one, until so many attempts in a row have failed without an answer of the server's; then the
 * next, and after the last the first again. On another than the first, the first is tried after a while, beside the live stream; a trial that fails doubles
 * that time, up to 1 h. Times are in ms. C 11
 */
final class Choice {
  private static final long MOST_PREFER_AFTER = 3_600_000;

  final List<Transport> all;
  private final int after;
  private final long firstPause; // negative: never
  private int at;
  private int failures;
  private long pause;
  private long due;

  Choice(List<Transport> all, int after, long preferAfter) {
    this.all = all;
    this.after = after;
    this.firstPause = preferAfter;
    this.pause = preferAfter;
  }

  Transport current() {
    return all.get(at);
  }

  /** Counts a failure; whether it was one too many, so that a less preferred transport has its turn. */
  boolean failed(long now) {
    failures++;
    if (failures < after || all.size() == 1) {
      return false;
    }
    failures = 0;
    at = (at + 1) % all.size();
    if (at == 1) { // fell from the preferred one
      pause = firstPause;
      due = now + pause;
    }
    return at != 0;
  }

  /** The current transport works. */
  void succeeded() {
    failures = 0;
  }

  /** How long to wait for the next trial of the preferred transport; -1: there is none. */
  long nextTrial(long now) {
    return at == 0 || firstPause < 0 ? -1 : Math.max(0, due - now);
  }

  /** How a trial went. */
  void tried(boolean well, long now) {
    if (well) {
      at = 0;
      failures = 0;
      return;
    }
    pause = Math.min(2 * pause, Math.max(MOST_PREFER_AFTER, firstPause));
    due = now + pause;
  }
}
