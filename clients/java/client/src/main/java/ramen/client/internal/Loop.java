package ramen.client.internal;

import java.util.concurrent.Executor;

/** Runs one call at a time, in the order in which they were given, and has timers. */
public interface Loop extends Executor {
  /** Monotonic, in ms. */
  long now();

  /** Runs something after a while, unless the timer was cancelled before; never within this call. */
  Timer schedule(long delayMs, Runnable task);

  /** Whether the caller runs in this loop. */
  boolean inside();

  /** Something that is to be run. */
  interface Timer {
    /** Called in the loop, it makes sure that the task does not run any more. */
    void cancel();
  }
}
