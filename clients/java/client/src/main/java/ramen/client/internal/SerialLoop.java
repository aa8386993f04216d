package ramen.client.internal;

import java.util.ArrayDeque;
import java.util.concurrent.Future;
import java.util.logging.Level;
import java.util.logging.Logger;

/** A loop that borrows a thread of the workers while it has something to do. */
public final class SerialLoop implements Loop {
  private static final Logger LOG = Logger.getLogger("ramen.client");
  private final ArrayDeque<Runnable> queue = new ArrayDeque<>(); // guarded by itself
  private boolean running; // guarded by queue
  private volatile Thread thread;

  @Override
  public long now() {
    return System.nanoTime() / 1_000_000;
  }

  @Override
  public void execute(Runnable task) {
    synchronized (queue) {
      queue.add(task);
      if (running) {
        return;
      }
      running = true;
    }
    Workers.POOL.execute(this::drain);
  }

  private void drain() {
    while (true) {
      Runnable task;
      synchronized (queue) {
        task = queue.poll();
        if (task == null) {
          running = false;
          return;
        }
      }
      thread = Thread.currentThread();
      try {
        task.run();
      } catch (RuntimeException e) { // a defect of this library's
        LOG.log(Level.SEVERE, "a task of the client failed", e);
      } finally {
        thread = null;
      }
    }
  }

  @Override
  public boolean inside() {
    return thread == Thread.currentThread();
  }

  @Override
  public Timer schedule(long delayMs, Runnable task) {
    return new Scheduled(Math.max(0, delayMs), task);
  }

  private final class Scheduled implements Timer {
    private final Runnable task;
    private final Future<?> future;
    private volatile boolean cancelled;

    Scheduled(long delayMs, Runnable task) {
      this.task = task;
      this.future = Workers.after(delayMs, () -> execute(this::run));
    }

    private void run() {
      if (!cancelled) {
        task.run();
      }
    }

    @Override
    public void cancel() {
      cancelled = true;
      future.cancel(false);
    }
  }
}
