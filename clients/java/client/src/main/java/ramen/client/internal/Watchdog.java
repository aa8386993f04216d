package ramen.client.internal;

/**
 * Barks once no sign of life has come for a while. A sign of life touches no timer: one that fires too early sleeps on, so a stream that lives costs one
 * wake-up in each stretch of the silence allowed. Times are in ms. C 4.3 to 4.6
 */
final class Watchdog {
  /** 7/4 of the default interval. SPEC 2.8.3 */
  static final long DEFAULT_SILENCE = 7_000;

  private static final long LEAST_SILENCE = 1_750;
  private static final long MOST_SILENCE = 105_000;

  /** Where the bytes of an incomplete frame cannot be seen. C 4.5 */
  static final long MOST_PATIENCE = 28_000;

  /** A timer that fires so much too late was held up, and so was reading. C 4.6 */
  private static final long LATE = 250;

  /** How long reading has then to catch up. */
  private static final long GRACE = 500;

  private final Loop loop;
  private final Runnable bark;
  private volatile long last; // sign of life; written by reading threads
  private volatile boolean alive; // since hurry
  private long silence;
  private long until = -1; // an earlier end than silence has, until the next sign of life; -1: none
  private Loop.Timer timer;

  Watchdog(Loop loop, Runnable bark) {
    this.loop = loop;
    this.bark = bark;
    this.last = loop.now();
  }

  /** The silence allowed: by hello's timeout_ms, else by the interval that was asked for. SPEC 2.8.6 */
  static long silenceOf(long timeoutMs, long heartbeatMs) {
    long ms = timeoutMs > 0 ? timeoutMs : heartbeatMs > 0 ? heartbeatMs * 7 / 4 : DEFAULT_SILENCE;
    return Math.min(Math.max(ms, LEAST_SILENCE), MOST_SILENCE);
  }

  /** The silence allowed after so many deaths by silence since the last push, where only whole frames are seen. C 4.5 */
  static long patience(long silence, int deaths) {
    return Math.min(silence << Math.min(deaths, 8), Math.max(silence, MOST_PATIENCE));
  }

  /** A sign of life, from any thread. */
  void alive() {
    last = loop.now();
    alive = true;
  }

  /** How long the silence may be from now on; it begins now. */
  void allow(long ms) {
    silence = ms;
    until = -1;
    alive();
    set(ms);
  }

  /** The way to the server may be gone: five sevenths of the time have to do, from now, which is a heartbeat interval and a quarter. C 10.2 */
  void hurry() {
    if (timer != null) {
      until = Math.min(deadline(), loop.now() + silence * 5 / 7);
      alive = false;
      set(until - loop.now());
    }
  }

  void stop() {
    if (timer != null) {
      timer.cancel();
      timer = null;
    }
  }

  private long deadline() {
    return until < 0 || alive ? last + silence : until;
  }

  private void set(long delay) {
    stop();
    long planned = loop.now() + Math.max(0, delay);
    timer = loop.schedule(delay, () -> check(planned));
  }

  private void check(long planned) {
    long now = loop.now();
    long rest = deadline() - now;
    if (rest > 1) {
      set(rest);
    } else if (now - planned > LATE) {
      set(GRACE);
    } else {
      timer = null;
      bark.run();
    }
  }
}
