package ramen.client.internal;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** The threads of all devices and publishers of the process. They are daemons, are made when they are needed, and end after 10 s without work. */
public final class Workers {
  private static final long KEEP_ALIVE_S = 10;

  /** Takes work that may block, without a bound: each piece of it has one in its owner. */
  public static final ExecutorService POOL =
      new ThreadPoolExecutor(0, Integer.MAX_VALUE, KEEP_ALIVE_S, TimeUnit.SECONDS, new SynchronousQueue<>(), named("ramen-worker"));

  private static final ScheduledThreadPoolExecutor TIMERS = timers();

  private Workers() {}

  private static ScheduledThreadPoolExecutor timers() {
    ScheduledThreadPoolExecutor timers = new ScheduledThreadPoolExecutor(1, named("ramen-timers"));
    timers.setRemoveOnCancelPolicy(true);
    timers.setKeepAliveTime(KEEP_ALIVE_S, TimeUnit.SECONDS);
    timers.allowCoreThreadTimeOut(true);
    return timers;
  }

  private static ThreadFactory named(String name) {
    return task -> {
      Thread thread = new Thread(task, name);
      thread.setDaemon(true);
      return thread;
    };
  }

  /** Runs something that returns at once after a while. */
  static java.util.concurrent.Future<?> after(long delayMs, Runnable task) {
    return TIMERS.schedule(task, delayMs, TimeUnit.MILLISECONDS);
  }
}
