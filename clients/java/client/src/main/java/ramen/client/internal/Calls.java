package ramen.client.internal;

import java.util.concurrent.Callable;
import java.util.concurrent.TimeoutException;

/** Calls what may block, for so long at most. */
final class Calls {
  private Calls() {}

  /** What came of a call. */
  interface Result<T> {
    /** error: null where it returned. */
    void done(T value, Throwable error);
  }

  /** Calls the function in a thread of the workers. The result comes in the loop, once: the function's, or TimeoutException after ms. */
  static <T> void within(Loop loop, long ms, Callable<T> function, Result<T> result) {
    Pending<T> pending = new Pending<>(result);
    pending.timer = loop.schedule(ms, () -> pending.done(null, new TimeoutException("no answer within " + ms + " ms")));
    Workers.POOL.execute(
        () -> {
          T value = null;
          Throwable error = null;
          pending.begin();
          try {
            value = function.call();
          } catch (Exception | LinkageError | StackOverflowError | AssertionError e) {
            error = e;
          }
          pending.returned();
          T answer = value;
          Throwable failure = error;
          loop.execute(() -> pending.done(answer, failure));
        });
  }

  private static final class Pending<T> {
    private final Result<T> result;
    private Loop.Timer timer; // owned by the loop
    private boolean over; // owned by the loop
    private Thread thread; // guarded by this; null: it does not run

    Pending(Result<T> result) {
      this.result = result;
    }

    synchronized void begin() {
      thread = Thread.currentThread();
    }

    synchronized void returned() {
      thread = null;
      Thread.interrupted(); // the thread is used again
    }

    private synchronized void interrupt() {
      if (thread != null) {
        thread.interrupt();
      }
    }

    void done(T value, Throwable error) {
      if (over) {
        return;
      }
      over = true;
      timer.cancel();
      if (error instanceof TimeoutException) {
        interrupt();
      }
      result.done(value, error);
    }
  }
}
