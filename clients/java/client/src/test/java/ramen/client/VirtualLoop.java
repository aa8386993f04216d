package ramen.client;

import java.util.ArrayDeque;
import java.util.PriorityQueue;
import ramen.client.internal.Loop;

/** A loop whose time passes when the test says so. It has no thread. */
final class VirtualLoop implements Loop {
  private final ArrayDeque<Runnable> queue = new ArrayDeque<>();
  private final PriorityQueue<Scheduled> timers = new PriorityQueue<>();
  private volatile long now; // read by threads of connections, too
  private long order;
  private boolean inside;

  @Override
  public long now() {
    return now;
  }

  @Override
  public void execute(Runnable task) {
    queue.add(task);
  }

  @Override
  public Timer schedule(long delayMs, Runnable task) {
    Scheduled s = new Scheduled(now + Math.max(0, delayMs), order++, task);
    timers.add(s);
    return s;
  }

  @Override
  public boolean inside() {
    return inside;
  }

  /** Runs what is due within so many ms. */
  void pass(long ms) {
    long until = now + ms;
    settle();
    while (!timers.isEmpty() && timers.peek().at <= until) {
      Scheduled next = timers.poll();
      now = Math.max(now, next.at);
      if (!next.cancelled) {
        queue.add(next.task);
      }
      settle();
    }
    now = until;
  }

  /** The clock goes on while nothing runs: the process was suspended. */
  void suspend(long ms) {
    now += ms;
  }

  private void settle() {
    inside = true;
    for (Runnable task; (task = queue.poll()) != null; ) {
      task.run();
    }
    inside = false;
  }

  private static final class Scheduled implements Timer, Comparable<Scheduled> {
    private final long at;
    private final long order;
    private final Runnable task;
    private boolean cancelled;

    Scheduled(long at, long order, Runnable task) {
      this.at = at;
      this.order = order;
      this.task = task;
    }

    @Override
    public void cancel() {
      cancelled = true;
    }

    @Override
    public int compareTo(Scheduled o) {
      return at != o.at ? Long.compare(at, o.at) : Long.compare(order, o.order);
    }
  }
}
