package ramen.client.internal;

/** A timer that knows whether it is set. */
final class Alarm {
  private final Loop loop;
  private final Runnable ring;
  private Loop.Timer timer; // null: it is not set
  private long at;

  Alarm(Loop loop, Runnable ring) {
    this.loop = loop;
    this.ring = ring;
  }

  void set(long delayMs) {
    stop();
    at = loop.now() + delayMs;
    timer =
        loop.schedule(
            delayMs,
            () -> {
              timer = null;
              ring.run();
            });
  }

  void stop() {
    if (timer != null) {
      timer.cancel();
      timer = null;
    }
  }

  boolean isSet() {
    return timer != null;
  }

  /** Until it rings, in ms. */
  long left() {
    return timer == null ? 0 : Math.max(0, at - loop.now());
  }
}
